"""The codec: one encoding a value, bounds before anything is built, and nothing but Malformed for hostile bytes."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed
from btard.identity.codec import (
    Reader,
    as_bytes,
    as_fields,
    as_int,
    as_list,
    as_text,
    ascending,
    decode,
    encode,
    from_base64,
    to_base64,
)

LIMIT = 1 << 20
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text()
values = st.recursive(scalars | st.floats(allow_nan=False), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(values)
def test_values_go_round(value: Any) -> None:
    assert decode(encode(value), limit=LIMIT) == value


@given(values)
def test_a_value_has_one_encoding(value: Any) -> None:
    assert encode(decode(encode(value), limit=LIMIT)) == encode(value)


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_only_malformed_or_are_canonical(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert encode(decode(data, limit=LIMIT)) == data


@given(values, st.data())
def test_damaged_bytes_raise_only_malformed_or_are_another_value(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(encode(value))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert encode(decode(bytes(damaged), limit=LIMIT)) == damaged


@given(values)
def test_bytes_after_the_value_are_refused(value: Any) -> None:
    with pytest.raises(Malformed):
        decode(encode(value) + b"\0", limit=LIMIT)


@given(st.lists(scalars, min_size=1, max_size=5), st.data())
def test_cut_bytes_are_refused(value: Any, data: st.DataObject) -> None:
    whole = encode(value)
    with pytest.raises(Malformed):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], limit=LIMIT)


LONGER_FORMS = {
    "1 in two bytes": b"\xcc\x01",
    "1 in three bytes": b"\xcd\x00\x01",
    "1 in five bytes": b"\xce\x00\x00\x00\x01",
    "1 in nine bytes": b"\xcf" + bytes(7) + b"\x01",
    "1 signed": b"\xd0\x01",
    "-1 in nine bytes": b"\xd3" + b"\xff" * 8,
    "a short list with a long head": b"\xdc\x00\x01\xc0",
    "short bytes with a long head": b"\xc5\x00\x01x",
    "short text with a long head": b"\xd9\x01x",
    "a single-precision float": b"\xca" + struct.pack(">f", 1.0),
}
FOREIGN = {
    "a map": msgpack.packb({"a": 1}),
    "a map in a list": msgpack.packb([{"a": 1}]),
    "an extension": msgpack.packb(msgpack.ExtType(5, b"x")),
    "a time": msgpack.packb(msgpack.Timestamp(1)),
    "the unused byte": b"\xc1",
    "text that is no UTF-8": b"\xa1\xff",
    "half a surrogate pair": b"\xa3\xed\xa0\x80",
    "nothing": b"",
    "a list of four billion": b"\xdd\xff\xff\xff\xff",
    "bytes of four gigabytes": b"\xc6\xff\xff\xff\xff",
    "lists in lists": b"\x91" * 100_000 + b"\xc0",
    "open lists in lists": b"\x91" * 100_000,
}


@pytest.mark.parametrize("data", [*LONGER_FORMS.values(), *FOREIGN.values()], ids=[*LONGER_FORMS, *FOREIGN])
def test_what_the_codec_would_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data, limit=LIMIT)


@pytest.mark.parametrize("data", LONGER_FORMS.values(), ids=LONGER_FORMS)
def test_a_reader_refuses_what_the_codec_would_not_write(data: bytes) -> None:
    for read in (
        lambda fields: fields.number(0, 2**64),
        lambda fields: fields.blob(most=100),
        lambda fields: fields.text(most=100),
        lambda fields: fields.floats(most=100),
        lambda fields: (fields.fields(1), fields.none()),
    ):
        fields = Reader(data, limit=LIMIT)
        with pytest.raises(Malformed):
            read(fields)
            fields.end()


@given(st.lists(st.integers(0, 2**64 - 1)), st.binary(max_size=70_000), st.lists(st.floats()), st.text(max_size=7))
def test_a_reader_reads_what_the_codec_writes(numbers: Any, blob: bytes, floats: Any, text: str) -> None:
    fields = Reader(encode([numbers, blob, floats, text, None, [blob[:32].ljust(32)] * 3]), limit=LIMIT)
    fields.fields(6)
    assert [fields.number(0, 2**64 - 1) for _ in range(fields.items(most=len(numbers)))] == numbers
    assert fields.blob(most=len(blob)) == blob
    assert encode(list(fields.floats(most=len(floats)))) == encode(floats)
    assert fields.text(most=31) == text
    assert fields.none()
    assert fields.blobs(32, most=3) == [blob[:32].ljust(32)] * 3
    fields.end()


SMALL_THINGS = {
    "empty lists": encode([[]] * 10_000),
    "lists of lists": encode([[[]] * 15] * 1000),
    "empty texts": encode([""] * 10_000),
    "numbers": encode([300] * 10_000),
    "nested claims": b"\xdc\x10\x00" * 500,
}


@pytest.mark.parametrize("data", SMALL_THINGS.values(), ids=SMALL_THINGS)
def test_a_value_that_takes_many_times_its_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data, limit=LIMIT)


def test_the_limit_is_exact() -> None:
    data = encode(b"x" * 100)
    assert decode(data, limit=len(data)) == b"x" * 100
    with pytest.raises(Malformed, match=f"{len(data)} bytes where at most {len(data) - 1} are allowed"):
        decode(data, limit=len(data) - 1)


def test_views_are_read_as_bytes_are() -> None:
    assert decode(memoryview(bytearray(encode([1, b"x"]))), limit=LIMIT) == [1, b"x"]


def test_fields_and_lists_are_counted() -> None:
    assert as_fields([1, 2], 2) == [1, 2]
    assert as_list([1, 2], most=2) == [1, 2]
    for value in ([1], [1, 2, 3], (1, 2), b"12", None):
        with pytest.raises(Malformed):
            as_fields(value, 2)
    for other in ([1, 2, 3], (1,), "12", None):
        with pytest.raises(Malformed):
            as_list(other, most=2)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, b"1", -1, 11])
def test_integers_are_integers_in_range(value: Any) -> None:
    assert [as_int(good, 0, 10) for good in (0, 10)] == [0, 10]
    with pytest.raises(Malformed):
        as_int(value, 0, 10)


def test_bytes_and_text_are_bounded() -> None:
    assert as_bytes(b"ab", 2) == as_bytes(b"ab", most=2) == as_bytes(b"ab") == b"ab"
    assert as_text("ab", most=2) == "ab"
    for call in (lambda: as_bytes(b"ab", 3), lambda: as_bytes(b"ab", most=1), lambda: as_bytes("ab", 2)):
        with pytest.raises(Malformed):
            call()
    for value in ("abc", b"ab", None):
        with pytest.raises(Malformed):
            as_text(value, most=2)


@given(st.lists(st.integers(0, 9)))
def test_ascending_means_sorted_without_repetition(numbers: list[int]) -> None:
    assert ascending(numbers) == (numbers == sorted(set(numbers)))


def test_base64_is_read_strictly() -> None:
    assert from_base64(to_base64(bytes(range(256)))) == bytes(range(256))
    for wrong in ("é", "AA", "A===", "AA==\n", "A A=", "A-_="):
        with pytest.raises(Malformed):
            from_base64(wrong)
