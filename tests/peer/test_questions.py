"""Questions and heads: they go round, and nothing but Malformed comes of anything else."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.identity.codec import decode, encode
from btard.round.roster import MAX_PEERS
from peer.questions import MAX_HEAD, Head, Question, Want, is_large
from tests.peer.helpers import ROSTER

STATE = digest(b"state")
HEAD = Head(ROSTER, STATE, ((3, digest(b"3")), (5, digest(b"5"))))


@given(st.sampled_from(Want), st.integers(0, 2**62 - 1))
def test_a_question_goes_round(want: Want, step: int) -> None:
    question = Question(want=want, step=step)
    assert Question.decode(question.encode()) == question


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"want":"everything"}',
        b'{"want":"state","step":-1}',
        b'{"want":"state","step":4611686018427387904}',
        b'{"want":"state","step":null}',
        b'{"want":"state","more":1}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_question_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="no question"):
        Question.decode(data)


@given(st.binary(max_size=80))
def test_junk_is_neither_a_question_nor_a_head(data: bytes) -> None:
    for kind in (Question, Head):
        with pytest.raises(Malformed):
            kind.decode(data)


@pytest.mark.parametrize("head", [HEAD, Head(ROSTER, STATE, ())])
def test_a_head_goes_round(head: Head) -> None:
    assert Head.decode(head.encode()) == head


def test_the_head_of_the_largest_roster_fits() -> None:
    peers = tuple(PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS))
    largest = dataclasses.replace(HEAD, roster=dataclasses.replace(ROSTER, members=peers, banned=frozenset(peers)))
    assert len(largest.encode()) <= MAX_HEAD
    assert Head.decode(largest.encode()) == largest


@pytest.mark.parametrize(
    "position, value",
    [
        (0, None),
        (0, []),
        (1, b"short"),
        (2, None),
        (2, [[1, STATE]] * 3),
        (2, [[1]]),
        (2, [[-1, STATE]]),
        (2, [[1, b"short"]]),
    ],
)
def test_what_is_no_head_is_malformed(position: int, value: Any) -> None:
    fields = decode(HEAD.encode(), limit=MAX_HEAD)
    fields[position] = value
    with pytest.raises(Malformed):
        Head.decode(encode(fields))


@given(st.data())
def test_a_damaged_head_is_malformed_or_another_one(data: st.DataObject) -> None:
    damaged = bytearray(HEAD.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert Head.decode(bytes(damaged)) != HEAD


def test_only_what_is_as_long_as_the_model_needs_a_slot() -> None:
    assert {want for want in Want if is_large(Question(want=want).encode())} == {Want.STATE, Want.SNAPSHOT, Want.BASE}
    assert not is_large(b"") and not is_large(b'{"want":"everything"}')
