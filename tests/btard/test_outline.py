"""Chunks that are believed alone: the digest of the whole follows from theirs, and strangers' outlines are bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard import outline as module
from btard.hashing import DIGEST_SIZE, digest
from btard.identity import Malformed
from btard.identity.codec import encode
from btard.outline import Outline, Outlined, longest


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 4)


@given(pieces=st.lists(st.binary(max_size=11), max_size=8))
def test_pieces_of_any_length_have_one_outline(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    made = Outline.of(pieces)
    chunks = [whole[start : start + 4] for start in range(0, len(whole), 4)]
    assert made == Outline.of([whole]) == Outline(len(whole), b"".join(map(digest, chunks)))
    assert [made.chunk(index) for index in range(len(made))] == [
        (4 * index, min(4 * index + 4, len(whole))) for index in range(len(chunks))
    ]
    assert all(made.has(index, chunk) for index, chunk in enumerate(chunks))


def test_another_byte_length_or_order_is_another_whole() -> None:
    others = (b"abcdefgi", b"abcdefg", b"abcdefgh\0", b"efghabcd", b"")
    assert len({Outline.of([data]).digest for data in (b"abcdefgh", *others)}) == 1 + len(others)
    assert not Outline.of([b"abcdefgh"]).has(0, b"efgh")


def test_the_length_is_part_of_the_digest() -> None:
    """Else a stranger could tell another length of the same chunks, and have room taken for it."""
    made = Outline.of([b"abcdefg"])
    assert Outline(8, made.digests).digest != made.digest


def test_an_outline_travels_and_is_as_long_as_it_may_be() -> None:
    for size in (1, 4, 5, 100):
        made = Outline.of([bytes(size)])
        assert len(made.encode()) <= longest(size)
        assert Outline.decode(made.encode(), size) == made
        with pytest.raises(Malformed):
            Outline.decode(made.encode(), size - 1)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"garbage",
        encode([9, bytes(2 * DIGEST_SIZE)]),
        encode([9, bytes(4 * DIGEST_SIZE)]),
        encode([9, bytes(3 * DIGEST_SIZE - 1)]),
        encode([0, b""]),
        encode([-1, b""]),
        encode([True, bytes(DIGEST_SIZE)]),
        encode([2**60, bytes(DIGEST_SIZE)]),
        encode([9, [bytes(DIGEST_SIZE)] * 3]),
        encode([9, bytes(3 * DIGEST_SIZE), 1]),
        encode([9, bytes(300 * DIGEST_SIZE)]),
    ],
)
def test_a_hostile_outline_is_malformed(told: bytes) -> None:
    with pytest.raises(Malformed):
        Outline.decode(told, 100)


def test_chunks_that_there_are_not() -> None:
    made = Outlined.of(b"abcdef")
    assert [bytes(made.chunk(index) or b"none") for index in (0, 1, 2, 2**19, -1)] == [b"abcd", b"ef", *[b"none"] * 3]
