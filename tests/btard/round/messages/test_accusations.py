"""Reports, votes and relays: every one goes round, and bytes that no honest peer writes raise only Malformed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed
from btard.identity.envelope import MIN_ENVELOPE
from btard.round.messages.accusations import (
    MAX_ATTACHED,
    TOLD_SIZE,
    Ballot,
    Charge,
    ChargeKind,
    Fault,
    Opinion,
    Relay,
    Report,
    Vote,
)
from btard.round.messages.bodies import Phase
from btard.vocabulary import MAX_PEERS
from tests.btard.round.bodies import (
    FEW,
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

complaints = st.dictionaries(st.sampled_from(FEW), st.sampled_from(Fault), max_size=6).map(
    lambda chosen: tuple(sorted(chosen.items()))
)
charges = st.builds(Charge, st.sampled_from(ChargeKind), st.sampled_from(FEW), st.integers(0, MAX_PEERS - 1))
ballots = st.builds(Ballot, st.sampled_from(FEW), charges, st.sampled_from(Opinion), peers)
bodies = st.one_of(
    st.builds(
        Report, st.sampled_from(Phase), st.booleans(), peers, complaints, st.none() | charges, blobs, peers, digests
    ),
    peers.map(lambda named: Report(Phase.CHECK, True, named, (), None, (), (), b"", bytes(TOLD_SIZE * len(named)))),
    st.builds(
        Vote,
        digests,
        st.lists(ballots, max_size=5, unique_by=lambda ballot: ballot.accuser).map(
            lambda cast: tuple(sorted(cast, key=lambda ballot: ballot.accuser))
        ),
        blobs,
    ),
    st.builds(Relay, st.booleans(), st.binary(max_size=200)),
)
ALL = (Report, Vote, Relay)


@given(bodies)
def test_every_body_goes_round(body: Any) -> None:
    assert type(body).decode(body.encode()) == body


@given(st.sampled_from(ALL), st.binary(max_size=100))
def test_random_bytes_raise_only_malformed_or_are_canonical(kind: Any, data: bytes) -> None:
    check_bytes(kind, data)


@given(bodies, st.data())
def test_a_damaged_body_is_malformed_or_says_something_else(body: Any, data: st.DataObject) -> None:
    check_damaged(body, data)


@given(bodies, junk, st.data())
def test_a_field_of_another_type_raises_only_malformed(body: Any, other: Any, data: st.DataObject) -> None:
    check_other_field(body, other, data)


CHARGE = Charge(ChargeKind.FALSE_SCALARS, PEERS[1], 2)
REPORT = Report(Phase.GATHER, False, tuple(PEERS[:3]), ((PEERS[0], Fault.NO_PART),), CHARGE, (b"x",))
BALLOT = Ballot(PEERS[1], CHARGE, Opinion.GUILTY, ())


@pytest.mark.parametrize(
    "body",
    [
        dataclasses.replace(REPORT, members=(PEERS[1], PEERS[0])),
        dataclasses.replace(REPORT, members=tuple(PEERS[: MAX_PEERS + 1])),
        dataclasses.replace(REPORT, complaints=((PEERS[1], Fault.NO_PART), (PEERS[0], Fault.NO_PART))),
        dataclasses.replace(REPORT, complaints=((PEERS[0], Fault.NO_PART), (PEERS[0], Fault.NO_COMMIT))),
        dataclasses.replace(REPORT, complaints=((PEERS[0], 0),)),
        dataclasses.replace(REPORT, complaints=((PEERS[0], max(Fault) + 1),)),
        dataclasses.replace(REPORT, phase=0),
        dataclasses.replace(REPORT, phase=max(Phase) + 1),
        dataclasses.replace(REPORT, reaction=2),
        dataclasses.replace(REPORT, attached=(bytes(MIN_ENVELOPE),) * (MAX_ATTACHED + 1)),
        dataclasses.replace(REPORT, charge=dataclasses.replace(CHARGE, part=-1)),
        dataclasses.replace(REPORT, charge=dataclasses.replace(CHARGE, part=MAX_PEERS)),
        dataclasses.replace(REPORT, charge=dataclasses.replace(CHARGE, kind=0)),
        dataclasses.replace(REPORT, charge=dataclasses.replace(CHARGE, kind=max(ChargeKind) + 1)),
        dataclasses.replace(REPORT, charge=dataclasses.replace(CHARGE, accused=b"nobody")),
        Vote(D[:-1], ()),
        Vote(D, (BALLOT, BALLOT)),
        Vote(D, (BALLOT, dataclasses.replace(BALLOT, accuser=PEERS[0]))),
        Vote(D, (dataclasses.replace(BALLOT, opinion=3),)),
        Vote(D, (dataclasses.replace(BALLOT, accomplices=(PEERS[1], PEERS[0])),)),
        Vote(D, (), (bytes(MIN_ENVELOPE),) * (2 * MAX_PEERS + 1)),
        dataclasses.replace(REPORT, state=D[:-1]),
        dataclasses.replace(REPORT, told=bytes(TOLD_SIZE)),
        Relay(2, b""),  # type: ignore[arg-type]
        Relay(False, ()),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_is_out_of_bounds_is_refused(body: Any) -> None:
    with pytest.raises(Malformed):
        type(body).decode(body.encode())


def test_the_largest_bodies_fit_their_limits() -> None:
    everyone = tuple(PEERS[:MAX_PEERS])
    faults = tuple((peer, Fault.NO_EXHIBIT) for peer in everyone)
    for body in (
        Report(Phase.AGREE, True, everyone, faults, CHARGE, ()),
        Vote(D, tuple(Ballot(peer, CHARGE, Opinion.INNOCENT, ()) for peer in everyone)),
    ):
        assert type(body).decode(body.encode()) == body
