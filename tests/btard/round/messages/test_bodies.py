"""The bodies of messages: every one goes round, and nothing but Malformed comes of bytes that no honest peer writes."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.behaviour import LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind
from btard.identity.codec import encode
from btard.identity.envelope import MIN_ENVELOPE
from btard.round.messages.bodies import (
    BROADCASTS,
    MAX_CANDIDATES,
    SIGNED_ONCE,
    Aggregate,
    Commit,
    Digest,
    Leave,
    PartHeader,
    Reveal,
    Scalars,
    contradict,
)
from btard.round.messages.opening import Opening
from btard.round.messages.requests import Certificate, Forward, Pull
from btard.verification.openings import BLOCKS
from btard.vocabulary import MAX_PEERS
from tests.btard.round.bodies import (
    PEERS,
    D,
    blobs,
    check_bytes,
    check_damaged,
    check_other_field,
    digests,
    junk,
    peers,
)

AUTHOR, OTHER = (IdentityKey.from_seed(digest(name)) for name in (b"author", b"other"))
positions = st.sets(st.integers(0, MAX_PEERS - 1), max_size=6).map(lambda some: tuple(sorted(some)))
floats = st.lists(st.floats(allow_nan=False), max_size=5).map(tuple)
some = st.sampled_from(PEERS[:20])
parts = st.tuples(st.sampled_from([MessageKind.PART, MessageKind.AGGREGATE]), some, st.integers(0, MAX_PEERS - 1))
broadcasts = st.tuples(st.sampled_from(BROADCASTS), some, st.just(0))
items = st.sets(parts | broadcasts, min_size=1, max_size=8).map(lambda chosen: tuple(sorted(chosen)))
bodies = st.one_of(
    st.builds(
        Commit,
        digests,
        digests,
        digests,
        st.lists(digests, max_size=5).map(tuple),
        digests,
        digests | st.just(b""),
        peers,
        peers,
        digests | st.just(b""),
        st.none() | st.builds(Opening, digests, st.tuples(*[st.floats(allow_nan=False)] * BLOCKS)),
    ),
    st.builds(PartHeader, st.integers(0, MAX_PEERS - 1), digests),
    st.builds(Aggregate, digests),
    st.builds(Reveal, digests, digests),
    st.builds(Scalars, digests, floats, floats, positions),
    st.builds(Pull, items),
    st.builds(Forward, blobs),
    st.builds(Digest, digests, digests, digests, digests),
    st.builds(Leave, st.sampled_from(LeaveReason)),
    st.builds(Certificate, blobs),
)
ALL = (Commit, PartHeader, Aggregate, Reveal, Scalars, Pull, Forward, Digest, Leave, Certificate)


@given(bodies)
def test_every_body_goes_round(body: Any) -> None:
    assert type(body).decode(body.encode()) == body


@given(st.sampled_from(ALL), st.binary(max_size=100))
def test_random_bytes_raise_only_malformed_or_are_canonical(kind: Any, data: bytes) -> None:
    check_bytes(kind, data)


@given(bodies, st.data())
def test_a_damaged_body_is_malformed_or_says_something_else(body: Any, data: st.DataObject) -> None:
    check_damaged(body, data)


@given(bodies, st.sampled_from(ALL))
def test_a_body_read_as_another_kind_raises_only_malformed(body: Any, kind: Any) -> None:
    check_bytes(kind, body.encode())


@given(st.sampled_from(ALL), st.lists(junk, max_size=5))
def test_well_formed_values_of_other_shapes_raise_only_malformed(kind: Any, value: list[Any]) -> None:
    check_bytes(kind, encode(value))


@given(bodies, junk, st.data())
def test_a_field_of_another_type_raises_only_malformed(body: Any, other: Any, data: st.DataObject) -> None:
    check_other_field(body, other, data)


COMMIT = Commit(D, D, D, (D,) * 3, D, b"", tuple(PEERS[:2]))
SCALARS = Scalars(D, (0.5, -1.0), (1.0, 2.0), (0, 1))


@pytest.mark.parametrize(
    "body",
    [
        dataclasses.replace(COMMIT, attempt_id=D[:-1]),
        dataclasses.replace(COMMIT, parameters=D + b"x"),
        dataclasses.replace(COMMIT, parts=(D, D[:-1], D)),
        dataclasses.replace(COMMIT, parts=(D,) * (MAX_PEERS + 1)),
        dataclasses.replace(COMMIT, share=D[:-1]),
        dataclasses.replace(COMMIT, momentum=D[:-1]),
        dataclasses.replace(COMMIT, candidates=(PEERS[1], PEERS[0])),
        dataclasses.replace(COMMIT, candidates=(PEERS[0], PEERS[0])),
        dataclasses.replace(COMMIT, candidates=tuple(PEERS[: MAX_CANDIDATES + 1])),
        dataclasses.replace(COMMIT, laggards=(PEERS[1], PEERS[0])),
        dataclasses.replace(COMMIT, laggards=tuple(PEERS[: MAX_CANDIDATES + 1])),
        dataclasses.replace(COMMIT, seal=D[:-1]),
        dataclasses.replace(COMMIT, opening=Opening(D[:-1], (1.0,) * BLOCKS)),
        dataclasses.replace(COMMIT, opening=Opening(D, (1.0,) * (BLOCKS - 1))),
        dataclasses.replace(COMMIT, opening=Opening(D, (1.0,) * (BLOCKS + 1))),
        dataclasses.replace(COMMIT, opening=Opening(D, (1,) * BLOCKS)),
        PartHeader(MAX_PEERS, D),
        PartHeader(-1, D),
        PartHeader(0, b""),
        Aggregate(D[:-1]),
        Reveal(D[:-1], D),
        Reveal(D, D + b"x"),
        dataclasses.replace(SCALARS, attempt_id=D[:-1]),
        dataclasses.replace(SCALARS, products=(0, 1.0)),
        dataclasses.replace(SCALARS, products=(True, 1.0)),
        dataclasses.replace(SCALARS, norms=(None, 1.0)),
        dataclasses.replace(SCALARS, norms=(1.0,) * (MAX_PEERS + 1)),
        dataclasses.replace(SCALARS, doubts=(1, 0)),
        dataclasses.replace(SCALARS, doubts=(0, 0)),
        dataclasses.replace(SCALARS, doubts=(MAX_PEERS,)),
        dataclasses.replace(SCALARS, doubts=(-1,)),
        Pull(()),
        Pull(((MessageKind.REPORT, PEERS[0], 0),)),
        Pull(((MessageKind.COMMIT, PEERS[0], 1),)),
        Pull(((MessageKind.PART, PEERS[0], MAX_PEERS),)),
        Pull(((MessageKind.PART, PEERS[0], -1),)),
        Pull(((MessageKind.PART, PEERS[0], 1), (MessageKind.PART, PEERS[0], 0))),
        Pull(((MessageKind.PART, PEERS[0], 1),) * 2),
        Forward((bytes(MIN_ENVELOPE),) * (MAX_PEERS + 1)),
        Digest(D, D, D, D[:-1]),
        Certificate((bytes(MIN_ENVELOPE),) * (MAX_PEERS + 1)),
        Certificate((bytes(1025),)),
    ],
    ids=repr,
)
def test_what_is_out_of_bounds_is_refused(body: Any) -> None:
    with pytest.raises(Malformed):
        type(body).decode(body.encode())


@pytest.mark.parametrize("reason", ["", "banned", "SHUTDOWN", "x" * 100, 1, None, b"shutdown"])
def test_leaving_has_two_reasons(reason: Any) -> None:
    with pytest.raises(Malformed):
        Leave.decode(encode([reason]))


def test_the_largest_bodies_fit_their_limits() -> None:
    everyone, some = tuple(PEERS[:MAX_PEERS]), tuple(PEERS[:MAX_CANDIDATES])
    for body in (
        Commit(
            D,
            D,
            D,
            (D,) * MAX_PEERS,
            D,
            D,
            some,
            some,
            D,
            Opening(D, (1e300,) * BLOCKS),
        ),
        Scalars(D, (0.1,) * MAX_PEERS, (1e300,) * MAX_PEERS, tuple(range(MAX_PEERS))),
        Pull(tuple((MessageKind.PART, peer, MAX_PEERS - 1) for peer in everyone)),
    ):
        assert type(body).decode(body.encode()) == body


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 5e-324, -0.0])
def test_every_number_travels_bit_by_bit(number: float) -> None:
    body = Scalars(D, (number,), (number,), ())
    again = Scalars.decode(body.encode())
    assert struct.pack(">d", again.products[0]) == struct.pack(">d", again.norms[0]) == struct.pack(">d", number)


def signed(kind: MessageKind, body: bytes, **place: Any) -> Envelope:
    return Envelope.sign(AUTHOR, **{"run": bytes(16), "step": 3, "attempt": 1} | place, kind=kind, body=body)


@pytest.mark.parametrize("kind", list(MessageKind), ids=lambda kind: kind.name)
def test_two_statements_contradict_where_honest_peers_make_one(kind: MessageKind) -> None:
    one, two = PartHeader(2, digest(b"one")).encode(), PartHeader(2, digest(b"two")).encode()
    first = signed(kind, one)
    assert contradict(first, signed(kind, two)) is (kind in SIGNED_ONCE)
    assert not contradict(first, Envelope.decode(first.encode())), "the same statement again"
    for place in ({"run": b"another run here"}, {"step": 4}, {"attempt": 2}):
        assert not contradict(first, signed(kind, two, **place))
    other = MessageKind.COMMIT if kind is not MessageKind.COMMIT else MessageKind.REVEAL
    assert not contradict(first, signed(other, two))
    assert not contradict(first, Envelope.sign(OTHER, run=first.run, step=3, attempt=1, kind=kind, body=two))
    of_another_part = signed(kind, PartHeader(3, digest(b"one")).encode())
    assert contradict(first, of_another_part) is (kind in SIGNED_ONCE and kind is not MessageKind.PART)


def test_of_what_somebody_may_say_twice_nothing_is_on_the_list() -> None:
    assert {kind.name for kind in set(MessageKind) - SIGNED_ONCE} == {
        *("RELAY", "LEAVE", "CERTIFICATE", "ASK", "PULL", "FORWARD", "OVERDUE"),
        *("MANIFEST", "JOIN", "GENESIS", "METRICS", "BANS", "MEMORY", "RESUME"),
    }
