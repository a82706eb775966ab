"""Whole simulated swarms that are killed, with what their disks kept, and go on."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
import torch

from btard.behaviour import Behaviour
from tests.btard.reunion.killed import TURN, Killed
from tests.btard.round.swarm import RULES, Swarm
from tests.quick import quick


def unbroken(**named: object) -> torch.Tensor:
    """Return what the same swarm comes to without an accident."""
    swarm = Swarm(5, steps=12, **named).run()  # type: ignore[arg-type]
    return swarm.peers[0].parameters


SAME = replace(RULES, same_randomness=True, verification=replace(RULES.verification, validators=0.0))
ALIKE = {"plain": SAME, "momentum": replace(SAME, verification=replace(SAME.verification, momentum=0.5))}


@pytest.mark.parametrize(("name", "at"), quick(4, itertools.product(ALIKE, (0.05, 0.5, 1.03, 1.11, 1.35))))
def test_a_killed_swarm_comes_to_what_an_unbroken_one_does(name: str, at: float) -> None:
    rules = ALIKE[name]
    killed = Killed(at=at, rules=rules)
    assert 0 <= min(killed.stood) <= max(killed.stood) < 12
    killed.come_back(*range(5))
    killed.run().check()
    assert {peer.incarnation for peer in killed.peers} == {1}
    assert torch.equal(killed.peers[0].parameters, unbroken(rules=rules))


def test_what_is_repeated_is_drawn_anew() -> None:
    rules = replace(SAME, same_randomness=None)
    killed = Killed(at=1.03, rules=rules)
    killed.come_back(*range(5))
    killed.run().check()
    assert not torch.equal(killed.peers[0].parameters, unbroken(rules=rules)), "so nobody knew the batches of the rest"


def test_three_of_five_go_on_without_the_others() -> None:
    killed = Killed(at=1.03)
    killed.come_back(0, 2, 4)
    killed.run().check()
    assert {len(peer.disk[-1].roster.members) for peer in killed.peers if not peer.crashed} == {3}


def test_a_memory_that_is_lost_counts_for_nothing() -> None:
    killed = Killed(at=1.03)
    for number in (3, 4):
        killed.peers[number].disk = killed.peers[number].disk[:1]  # an old copy of the disk
    newest = min(killed.stood[:3])
    killed.come_back(0, 1, 3, 4)
    killed.swarm.network.run(until=200.0)
    assert [peer.incarnation for peer in killed.peers] == [0] * 5, "two remember, which may be the liars"
    killed.come_back(2)
    killed.run().check()
    assert min(peer.begun[-1][0] for peer in killed.peers) == 1
    firsts = {next(step for number, step in peer.begun if number == 1) for peer in killed.peers}
    assert firsts == {newest} and newest > 0


def test_a_ban_outlives_the_swarm() -> None:
    rules = replace(RULES, verification=replace(RULES.verification, validators=2.0))
    killed = Killed(6, at=6.0, steps=40, rules=rules, behaviours={5: Flips()})
    banned = {peer for kept in killed.peers[0].disk[-1:] for peer in kept.roster.banned}
    assert banned == {killed.peers[5].peer_id}
    killed.come_back(*range(6))
    killed.run()
    honest = killed.peers[:5]
    assert all(peer.disk[-1].roster.banned == banned for peer in honest)
    assert killed.peers[5].peer_id not in honest[0].disk[-1].roster.members


class Flips(Behaviour):
    """Sends its gradient the other way."""

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


@pytest.mark.parametrize("seed", quick(2, range(20), slow=6))
def test_a_swarm_is_killed_again_and_again(seed: int) -> None:
    drawn = random.Random(seed)
    killed = Killed(at=drawn.uniform(0.02, 2.0), steps=60, seed=seed)
    for _ in range(3):
        killed.come_back(*range(5))
        killed.swarm.network.run(until=killed.swarm.network.now + drawn.uniform(0.5, 4.0))
        killed.kill()
        killed.swarm.network.run(until=killed.swarm.network.now + 2 * TURN)
    assert max(kept.disk[-1].roster.step for kept in killed.peers) < 60
    killed.come_back(*range(5))
    killed.run().check()
