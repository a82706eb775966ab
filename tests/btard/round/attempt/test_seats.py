"""Of whom half has to have come before a phase counts as half over: never of a liar, a newcomer or a client."""

from __future__ import annotations

import dataclasses

import pytest

from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from tests.btard.round.swarm import RULES, Swarm, keys

COUNT, LIARS = 7, 3
PEERS = tuple(key.peer_id for key in keys(COUNT))
HONEST = PEERS[LIARS:]


@pytest.mark.parametrize("validators", [0, 1], ids=["without validators", "beside a validator"])
def test_half_of_a_phase_has_come_without_liars(validators: int) -> None:
    audits = tuple(Audit(PEERS[-1 - place], PEERS[0]) for place in range(validators))
    roster = dataclasses.replace(Swarm(COUNT).genesis, audits=audits)
    seats = Seats(RULES, roster, 0, PEERS, HONEST[0])
    sent = [peer for peer in HONEST if peer not in seats.validators]
    assert len(sent) == len(HONEST) - validators
    assert seats.most_submitters_have_sent(sent) and not seats.most_submitters_have_sent(sent[1:])
    assert seats.most_have_sent(HONEST) and not seats.most_have_sent(HONEST[1:])


def test_half_of_a_phase_has_come_without_newcomers() -> None:
    newcomers = tuple((peer, 5) for peer in PEERS[:LIARS])
    seats = Seats(RULES, dataclasses.replace(Swarm(COUNT).genesis, probation=newcomers), 0, PEERS, HONEST[0])
    voters = sorted(seats.voters)
    assert len(voters) == COUNT - LIARS
    assert seats.most_have_sent(voters[:3]) and not seats.most_have_sent([*PEERS[:LIARS], *voters[:2]])
