"""Envelopes: every field is signed, no message serves in another place, and the cache of decoded ones is no hole."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Envelope, IdentityKey, Malformed, MessageKind
from btard.identity.codec import decode, encode
from btard.identity.envelope import _CACHED_SIZE, MAX_ENVELOPE, RUN_ID_SIZE

KEY = IdentityKey.from_seed(bytes(32))
OTHER = IdentityKey.from_seed(bytes(31) + b"\1")
RUN = b"r" * RUN_ID_SIZE
kinds = st.sampled_from(list(MessageKind))


def signed(body: bytes = b"body", **fields: Any) -> Envelope:
    return Envelope.sign(
        KEY, **{"run": RUN, "step": 7, "kind": MessageKind.COMMIT, "attempt": 1, "body": body} | fields
    )


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63 - 1), st.integers(0, 2**16 - 1), kinds, st.binary())
def test_envelopes_go_round(run: bytes, step: int, attempt: int, kind: MessageKind, body: bytes) -> None:
    envelope = Envelope.sign(KEY, run=run, step=step, attempt=attempt, kind=kind, body=body)
    assert Envelope.decode(envelope.encode()) == envelope
    assert (envelope.run, envelope.step, envelope.attempt, envelope.kind) == (run, step, attempt, kind)
    assert (envelope.author, envelope.body) == (KEY.peer_id, body)


@pytest.mark.parametrize(
    "change",
    [
        {"run": b"s" * RUN_ID_SIZE},
        {"step": 8},
        {"attempt": 0},
        {"kind": MessageKind.DIGEST},
        {"author": OTHER.peer_id},
        {"body": b"bodY"},
        {"body": b""},
        {"signature": bytes(64)},
        {"signature": OTHER.sign(b"body")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_breaks_the_signature(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="the signature does not verify"):
        Envelope.decode(dataclasses.replace(signed(), **change).encode())


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(signed().encode())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Malformed):
        Envelope.decode(bytes(whole))


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Envelope.decode(data)


field = st.none() | st.integers(-1, 2**64 - 1) | st.binary(max_size=70) | st.text(max_size=5) | st.lists(st.none())


@given(st.lists(field, max_size=8), st.data())
def test_fields_of_other_types_raise_only_malformed(fields: list[Any], data: st.DataObject) -> None:
    real = decode(signed().encode(), limit=MAX_ENVELOPE)
    mixed = [data.draw(st.sampled_from(pair)) for pair in zip(real, fields, strict=False)]
    with contextlib.suppress(Malformed):
        assert Envelope.decode(encode(mixed)).encode() == encode(real)


@pytest.mark.parametrize(
    "position, value",
    [(0, b"short"), (1, -1), (1, 2**63), (2, 2**16), (3, 0), (3, 9), (3, 256), (4, bytes(38)), (5, "text"), (6, b"")],
)
def test_fields_out_of_bounds_are_refused(position: int, value: Any) -> None:
    fields = decode(signed().encode(), limit=MAX_ENVELOPE)
    fields[position] = value
    with pytest.raises(Malformed):
        Envelope.decode(encode(fields))


def test_the_domain_keeps_other_signatures_of_the_key_out() -> None:
    envelope = signed()
    bare = encode([RUN, 7, 1, int(MessageKind.COMMIT), bytes(KEY.peer_id), b"body"])
    with pytest.raises(Malformed):
        Envelope.decode(dataclasses.replace(envelope, signature=KEY.sign(bare)).encode())


def test_the_cache_takes_no_forged_signature_for_a_known_content() -> None:
    envelope = signed()
    assert Envelope.decode(envelope.encode()) == envelope
    forged = dataclasses.replace(envelope, signature=envelope.signature[:-1] + bytes([envelope.signature[-1] ^ 1]))
    for _ in range(2):
        with pytest.raises(Malformed):
            Envelope.decode(forged.encode())
    assert Envelope.decode(envelope.encode()) == envelope


def test_a_refusal_is_not_remembered_against_the_real_message() -> None:
    envelope = signed(b"first forged")
    with pytest.raises(Malformed):
        Envelope.decode(dataclasses.replace(envelope, signature=bytes(64)).encode())
    assert Envelope.decode(envelope.encode()) == envelope


def test_changing_the_buffer_after_decoding_changes_no_envelope() -> None:
    buffer = bytearray(signed().encode())
    envelope = Envelope.decode(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert envelope == signed()
    with pytest.raises(Malformed):
        Envelope.decode(memoryview(buffer))


@pytest.mark.parametrize("size", [_CACHED_SIZE - 200, _CACHED_SIZE, _CACHED_SIZE + 1])
def test_long_envelopes_are_checked_as_short_ones_are(size: int) -> None:
    envelope = signed(bytes(size))
    assert Envelope.decode(envelope.encode()) == envelope
    with pytest.raises(Malformed, match="does not verify"):
        Envelope.decode(dataclasses.replace(envelope, step=8).encode())


def test_the_limit_is_kept() -> None:
    data = signed().encode()
    assert Envelope.decode(data, limit=len(data)) == signed()
    with pytest.raises(Malformed, match="are allowed"):
        Envelope.decode(data, limit=len(data) - 1)
    with pytest.raises(Malformed, match="are allowed"):
        Envelope.decode(bytes(MAX_ENVELOPE + 1))


def test_the_content_digest_leaves_the_signature_out() -> None:
    one = signed()
    assert dataclasses.replace(one, signature=bytes(64)).content_digest() == one.content_digest()
    said = [one, signed(b"x"), signed(step=8), signed(attempt=2), signed(kind=MessageKind.PART), signed(run=b"s" * 16)]
    assert len({envelope.content_digest() for envelope in said}) == len(said)
