"""COMMIT: what a target charges its validator with once all commitments are here."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import Debt, Debts
from btard.round.attempt.pace import Pace
from btard.round.attempt.seats import Seats
from btard.round.context import StepContext
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.opening import Opening
from btard.round.phases.commit import CommitPhase
from btard.round.work.own import OwnWork
from btard.round.work.seals import Sketch, opening_of, seal_of, sketch
from tests.btard.round.scene import PEERS, Scene
from tests.btard.round.swarm import RULES, keys

ME, VALIDATOR = PEERS[0], PEERS[2]
DIRECTION, SALT = digest(b"direction"), digest(b"salt")
TRUE = sketch(DIRECTION, torch.arange(40.0))
FALSE = sketch(DIRECTION, -torch.arange(40.0))
SEAL = seal_of(SALT, TRUE.digest)


def charge(
    opening: Opening | None,
    *,
    seal: bytes = SEAL,
    own: Sketch | None = TRUE,
    target: PeerId = ME,
    before: tuple[PeerId, ...] = PEERS,
    members: tuple[PeerId, ...] = PEERS,
) -> Charge | None:
    """What the first peer charges when its validator opens this; `before` were the members of the step before."""
    record = Scene().attempt
    attempt = Attempt(Seats(RULES, dataclasses.replace(record.seats.roster, step=5), 0, members, ME))
    for peer in members:
        commit = dataclasses.replace(record.said.commits[peer], opening=opening if peer == VALIDATOR else None)
        attempt.said.commits[peer] = commit
    previous = Attempt(Seats(RULES, dataclasses.replace(record.seats.roster, step=4), 0, before, ME))
    debts = Debts((Debt(VALIDATOR, target, seal, DIRECTION, record),), True)
    context = StepContext(
        RULES,
        attempt.seats.roster,
        keys(5)[0],
        Behaviour(),
        bytes(32),
        (),
        previous,
        Pace(RULES.delay_bound_seconds),
        debts=debts,
    )
    return CommitPhase(context, attempt, b"", OwnWork(sketch=own)).charge()


RIGHT, WRONG = opening_of(SALT, TRUE), opening_of(SALT, FALSE)


@pytest.mark.parametrize(
    "opening, seal, kind",
    [
        (RIGHT, SEAL, None),
        (WRONG, SEAL, ChargeKind.FALSE_OPENING),
        (None, SEAL, ChargeKind.NO_OPENING),
        (RIGHT, b"", ChargeKind.NO_OPENING),
    ],
    ids=["right", "wrong", "none", "not sealed"],
)
def test_a_target_compares_what_its_validator_opens(opening: Opening | None, seal: bytes, kind: ChargeKind) -> None:
    assert charge(opening, seal=seal) == (None if kind is None else Charge(kind, VALIDATOR, 0))


def test_nobody_charges_what_is_owed_to_another() -> None:
    assert charge(WRONG, target=PEERS[1]) is None
    assert charge(WRONG, own=None) is None
    assert charge(WRONG, members=tuple(peer for peer in PEERS if peer != VALIDATOR)) is None


@pytest.mark.parametrize("knowing", [3, 2])
def test_nothing_is_charged_that_most_cannot_know_of(knowing: int) -> None:
    known = tuple(sorted((ME, VALIDATOR, *PEERS[3:]))[:knowing])
    assert (charge(None, before=known) is None) is (knowing == 2)
