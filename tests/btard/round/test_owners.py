"""The owners of parts change with the randomness, and what fails moves nothing."""

from __future__ import annotations

import torch

from btard.behaviour import Behaviour, View
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.messages.bodies import Reveal
from btard.round.roster import Roster, first_randomness
from btard.vectors.partition import from_wire
from tests.btard.round.swarm import RULES, Swarm, keys, voids


def test_parts_change_hands_with_the_randomness() -> None:
    members = tuple(key.peer_id for key in keys(6))
    orders = set()
    for seed in range(40):
        roster = Roster(0, members, frozenset(), first_randomness(seed, 0))
        attempt = Attempt(Seats(RULES, roster, 0, members, members[0]))
        assert sorted(attempt.seats.owners) == list(members)
        orders.add(attempt.seats.owners)
    assert len(orders) > 30
    assert {order[0] for order in orders} == set(members), "every peer owns the first part now and then"


class Mute(Behaviour):
    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return None if step == 1 else reveal


def test_a_void_attempt_moves_nothing() -> None:
    swarm = Swarm(5, steps=4, behaviours={2: Mute()}).run()
    for peer in swarm.honest:
        assert voids(peer)
        moved = sum((from_wire(result.flat, RULES.wire) for result in peer.finished()), torch.zeros(RULES.dimension))
        torch.testing.assert_close(peer.parameters, -moved)
