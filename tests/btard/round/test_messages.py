"""The bodies of messages: every one goes round, and nothing but Malformed comes of bytes that no honest peer writes."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.behaviour import LeaveReason
from btard.identity import Malformed, PeerId
from btard.identity.codec import decode, encode
from btard.identity.envelope import MAX_ENVELOPE
from btard.round.messages import (
    MAX_CANDIDATES,
    Aggregate,
    Certificate,
    Commit,
    Digest,
    Fault,
    Leave,
    PartHeader,
    Phase,
    Relay,
    Report,
)
from btard.round.roster import MAX_PEERS

D = bytes(range(32))
PEERS = [PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS + 1)]

digests = st.binary(min_size=32, max_size=32)
peers = st.sets(st.sampled_from(PEERS[:20]), max_size=8).map(lambda chosen: tuple(sorted(chosen)))
blobs = st.lists(st.binary(max_size=20), max_size=5).map(tuple)
positions = st.lists(st.integers(0, MAX_PEERS - 1), max_size=6).map(tuple)
complaints = st.dictionaries(st.sampled_from(PEERS[:20]), st.sampled_from(Fault), max_size=6).map(
    lambda chosen: tuple(sorted(chosen.items()))
)
relays = st.integers(1, MAX_PEERS).flatmap(
    lambda total: st.builds(Relay, st.integers(0, total - 1), st.just(total), blobs)
)
bodies = st.one_of(
    st.builds(Commit, digests, digests, st.lists(digests, max_size=5).map(tuple), peers),
    st.builds(PartHeader, st.integers(0, MAX_PEERS - 1), digests),
    st.builds(Aggregate, digests, positions.map(lambda some: tuple(sorted(set(some))))),
    st.builds(Digest, digests, digests, digests, digests),
    st.builds(Report, st.sampled_from(Phase), st.booleans(), peers, complaints, blobs),
    relays,
    st.builds(Leave, st.sampled_from(LeaveReason)),
    st.builds(Certificate, blobs),
)
ALL = (Commit, PartHeader, Aggregate, Digest, Report, Relay, Leave, Certificate)


@given(bodies)
def test_every_body_goes_round(body: Any) -> None:
    assert type(body).decode(body.encode()) == body


@given(st.sampled_from(ALL), st.binary(max_size=100))
def test_random_bytes_raise_only_malformed_or_are_canonical(kind: Any, data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert kind.decode(data).encode() == data


@given(bodies, st.data())
def test_a_damaged_body_raises_only_malformed_or_says_something_else(body: Any, data: st.DataObject) -> None:
    damaged = bytearray(body.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        other = type(body).decode(bytes(damaged))
        assert other != body and other.encode() == damaged


@given(bodies, st.sampled_from(ALL))
def test_the_body_of_one_kind_read_as_another_raises_only_malformed(body: Any, kind: Any) -> None:
    with contextlib.suppress(Malformed):
        assert kind.decode(body.encode()).encode() == body.encode()


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(ALL), st.lists(junk, max_size=5))
def test_well_formed_values_of_other_shapes_raise_only_malformed(kind: Any, value: list[Any]) -> None:
    data = encode(value)
    with contextlib.suppress(Malformed):
        assert kind.decode(data).encode() == data


@given(bodies, junk, st.data())
def test_a_field_of_another_type_raises_only_malformed(body: Any, other: Any, data: st.DataObject) -> None:
    fields = decode(body.encode(), limit=MAX_ENVELOPE)
    if fields:
        fields[data.draw(st.integers(0, len(fields) - 1))] = other
    changed = encode(fields)
    with contextlib.suppress(Malformed):
        assert type(body).decode(changed).encode() == changed


COMMIT = Commit(D, D, (D,) * 3, tuple(PEERS[:2]))
REPORT = Report(Phase.GATHER, False, tuple(PEERS[:3]), ((PEERS[0], Fault.NO_PART),), (b"x",))


@pytest.mark.parametrize(
    "body",
    [
        dataclasses.replace(COMMIT, context=D[:-1]),
        dataclasses.replace(COMMIT, parameters=D + b"x"),
        dataclasses.replace(COMMIT, parts=(D, D[:-1], D)),
        dataclasses.replace(COMMIT, parts=(D,) * (MAX_PEERS + 1)),
        dataclasses.replace(COMMIT, candidates=(PEERS[1], PEERS[0])),
        dataclasses.replace(COMMIT, candidates=(PEERS[0], PEERS[0])),
        dataclasses.replace(COMMIT, candidates=tuple(PEERS[: MAX_CANDIDATES + 1])),
        PartHeader(MAX_PEERS, D),
        PartHeader(-1, D),
        PartHeader(0, b""),
        Aggregate(D[:-1], ()),
        Aggregate(D, (MAX_PEERS,)),
        Aggregate(D, (-1,)),
        Aggregate(D, (0, 0)),
        Aggregate(D, (2, 1)),
        Aggregate(D, (0,) * (MAX_PEERS + 1)),
        Digest(D, D, D, D[:-1]),
        dataclasses.replace(REPORT, members=(PEERS[1], PEERS[0])),
        dataclasses.replace(REPORT, members=tuple(PEERS[: MAX_PEERS + 1])),
        dataclasses.replace(REPORT, complaints=((PEERS[1], Fault.NO_PART), (PEERS[0], Fault.NO_PART))),
        dataclasses.replace(REPORT, complaints=((PEERS[0], Fault.NO_PART), (PEERS[0], Fault.NO_COMMIT))),
        dataclasses.replace(REPORT, complaints=((PEERS[0], 0),)),
        dataclasses.replace(REPORT, complaints=((PEERS[0], 9),)),
        dataclasses.replace(REPORT, phase=0),
        dataclasses.replace(REPORT, phase=5),
        dataclasses.replace(REPORT, reaction=2),
        dataclasses.replace(REPORT, attached=(b"",) * (4 * MAX_PEERS + 1)),
        Relay(1, 1, ()),
        Relay(0, 0, ()),
        Relay(0, MAX_PEERS + 1, ()),
        Relay(-1, 1, ()),
        Relay(0, 1, (b"",) * (2 * MAX_PEERS + 1)),
        Certificate((b"",) * (MAX_PEERS + 1)),
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
    everyone = tuple(PEERS[:MAX_PEERS])
    for body in (
        Commit(D, D, (D,) * MAX_PEERS, everyone[:MAX_CANDIDATES]),
        Aggregate(D, tuple(range(MAX_PEERS))),
        Report(Phase.AGREE, True, everyone, tuple((peer, Fault.OTHER_DIGEST) for peer in everyone), ()),
    ):
        assert type(body).decode(body.encode()) == body
