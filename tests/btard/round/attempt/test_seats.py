"""Of whom half has to have come before a phase counts as half over, never of a liar, a newcomer or a client; and how a
step is verified."""

from __future__ import annotations

import dataclasses

import pytest

from btard.aggregation import CenteredClip
from btard.round.aggregates import part_rule
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.rules import AggregationRules
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


def test_the_rule_of_the_step_says_how_it_is_verified() -> None:
    rules = dataclasses.replace(RULES, aggregation=AggregationRules("centered_clip:tau=2~krum", 1.0, COUNT))
    proven = set()
    for drawn in range(20):
        roster = dataclasses.replace(Swarm(COUNT).genesis, randomness=bytes([drawn]) * 32)
        seats = Seats(rules, roster, 0, PEERS, HONEST[0])
        clips = isinstance(part_rule(seats.aggregation, COUNT), CenteredClip)
        proven.add(clips)
        assert (seats.equation is not None) == clips == (seats.tau == 2.0) == (seats.auditors == 0)
    assert proven == {True, False}
