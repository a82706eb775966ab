"""What bodies of messages are made of in tests, and what must hold for bytes that no honest peer writes."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import strategies as st

from btard.identity import Malformed, PeerId
from btard.identity.codec import decode, encode
from btard.identity.envelope import MAX_ENVELOPE, MIN_ENVELOPE
from btard.vocabulary import MAX_PEERS

D = bytes(range(32))
PEERS = [PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS + 1)]
FEW = PEERS[:20]

digests = st.binary(min_size=32, max_size=32)
peers = st.sets(st.sampled_from(FEW), max_size=8).map(lambda chosen: tuple(sorted(chosen)))
blobs = st.lists(st.binary(min_size=MIN_ENVELOPE, max_size=MIN_ENVELOPE + 20), max_size=5).map(tuple)
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def check_bytes(kind: Any, data: bytes) -> None:
    """Assert that these bytes raise nothing but Malformed, or are read as what is written like this."""
    with contextlib.suppress(Malformed):
        assert kind.decode(data).encode() == data


def check_damaged(body: Any, data: st.DataObject) -> None:
    """Assert that the body raises nothing but Malformed, or says something else, when any byte of it is another."""
    damaged = bytearray(body.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        other = type(body).decode(bytes(damaged))
        assert other != body and other.encode() == damaged


def check_other_field(body: Any, other: Any, data: st.DataObject) -> None:
    """Assert that the body raises nothing but Malformed, or says what it says, when any field of it is `other`."""
    fields = decode(body.encode(), limit=MAX_ENVELOPE)
    if fields:
        fields[data.draw(st.integers(0, len(fields) - 1))] = other
    check_bytes(type(body), encode(fields))
