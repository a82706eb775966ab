"""Debts: each validator owes an opening to its target, unless one of them is out or it was shown nothing."""

from __future__ import annotations

import torch

from btard.hashing import digest
from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS, owed_after
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.messages.bodies import Commit
from btard.round.messages.opening import Opening
from btard.round.roster import Roster, first_randomness
from btard.verification.openings import BLOCKS, direction_of
from tests.btard.round.scene import Scene
from tests.btard.round.swarm import RULES, keys

PEERS = tuple(key.peer_id for key in keys(5))
FIRST, SECOND = Audit(PEERS[0], PEERS[3]), Audit(PEERS[1], PEERS[4])
ROSTER = Roster(4, PEERS, frozenset(), first_randomness(0, 4), (FIRST, SECOND))
R, SEAL = digest(b"r"), digest(b"seal")
RECORD = Scene().attempt
VECTOR = torch.ones(RULES.dimension)


def sealed(members: tuple[PeerId, ...] = PEERS, seal: bytes = SEAL) -> Attempt:
    attempt = Attempt(Seats(RULES, ROSTER, 0, members, PEERS[2]))
    attempt.results.randomness = R
    for peer in members:
        own = seal if peer == FIRST.validator else b""
        attempt.said.commits[peer] = Commit(attempt.seats.attempt_id, R, R, (), R, b"", (), (), own)
    return attempt


def test_every_validator_owes_its_target() -> None:
    debts = owed_after(RECORD, sealed(), VECTOR)
    assert [(debt.validator, debt.target, debt.seal) for debt in debts.owed] == [
        (FIRST.validator, FIRST.target, SEAL),
        (SECOND.validator, SECOND.target, b""),
    ]
    assert [debt.direction for debt in debts.owed] == [direction_of(R, peer) for peer in PEERS[:2]]
    assert debts.known and debts.vector is VECTOR
    assert all(debt.record is RECORD for debt in debts.owed)
    first, second = debts.owed
    assert [debts.of(peer) for peer in PEERS] == [first, second, None, first, second]
    assert debts.between(*PEERS[:2]) is None and debts.between(FIRST.validator, FIRST.target) is first


def test_nothing_is_owed_to_those_that_are_out() -> None:
    debts = owed_after(RECORD, sealed(tuple(peer for peer in PEERS if peer != FIRST.target)), None)
    assert [debt.validator for debt in debts.owed] == [SECOND.validator]


def test_the_deputy_of_a_validator_that_is_out_owes_in_its_place() -> None:
    debts = owed_after(RECORD, sealed(tuple(peer for peer in PEERS if peer != FIRST.validator)), None)
    owing = {debt.validator: debt.target for debt in debts.owed}
    assert FIRST.validator not in owing and sorted(owing.values()) == sorted((FIRST.target, SECOND.target))


def test_a_debt_is_paid_by_what_was_sealed_and_is_opened() -> None:
    opening = Opening(R, (0.0,) * BLOCKS)
    first, second = owed_after(RECORD, sealed(), None).owed
    assert first.is_paid_by(opening) and not first.is_paid_by(None) and not second.is_paid_by(opening)


def test_a_peer_that_was_not_there_knows_of_nothing() -> None:
    assert not NO_DEBTS.known and NO_DEBTS.of(PEERS[0]) is None
