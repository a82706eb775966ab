"""Behaviours that make everybody wait: what they cost, and which of them keep their place."""

from __future__ import annotations

from functools import cache

import pytest

from btard.byzantine.attacker import Attacker
from btard.lab.simulation.invariants import Invariants
from btard.lab.simulation.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished
from btard.transport.memory import NetworkConditions
from tests.btard.round.swarm import RULES, Swarm
from tests.quick import quick

STEPS, PEERS, SEED = 60, 8, 3

MOST = 3.0
"""Times the virtual time of the honest run that any behaviour may cost."""

WAITING = [
    "SLOW",
    "HALF_SILENCE",
    "WITHHOLD_PART",
    "LATE_REVEAL",
    "LATE_COMMIT",
    "AGGREGATE_TWO_FACED",
    "SILENCE",
    "WITHHOLD_AGGREGATE",
    "REFUSE_PART",
]


def simulate(
    *attack: str, slower: float = 1.0, late: float = 5.0, seed: int = SEED, steps: int = STEPS, **named: object
) -> Simulation:
    """Run a swarm whose last two peers behave so, late by so many seconds, and whose first one computes so many times
    slower."""
    named = {"byzantine": 2, "attack": list(attack), "attack_start": 1} | named if attack else named
    settings = SimulateSettings(peers=PEERS, steps=steps, seed=seed, task=WorkloadName.NONE, **named)
    simulation = Simulation(settings)
    simulation.listeners.append(Invariants(simulation))
    simulation.peers[0].compute_seconds *= slower
    for peer in simulation.peers:
        if isinstance(peer.behaviour, Attacker):
            peer.behaviour.settings = peer.behaviour.settings.model_copy(update={"attack_delay": late})
    return simulation.run()


@cache
def honest_seconds(seed: int) -> float:
    """Return the virtual time of a run of honest peers."""
    return simulate(seed=seed).network.now


def members(simulation: Simulation) -> set[int]:
    """Return the numbers of the last members that an honest peer knows."""
    newest = max((peer.roster for peer in simulation.honest if peer.roster), key=lambda roster: roster.step)
    return {peer.number for peer in simulation.peers if peer.peer_id in newest.members}


@pytest.mark.parametrize("attack", quick(1, WAITING))
def test_nobody_makes_a_run_last_three_times_as_long(attack: str) -> None:
    simulation = simulate(attack)
    assert simulation.network.now <= MOST * honest_seconds(SEED)
    assert all(peer.steps_done == STEPS for peer in simulation.honest)


@pytest.mark.parametrize("seed", quick(1, [3, 5, 7, 11]))
@pytest.mark.parametrize("attack", ["HALF_SILENCE", "SLOW"])
def test_liars_of_the_first_step_cost_no_honest_member_its_place(attack: str, seed: int) -> None:
    simulation = simulate(attack, attack_start=0, seed=seed, steps=20)
    assert all(peer.stopped is None and peer.steps_done == 20 for peer in simulation.honest)


@pytest.mark.parametrize("late", [0.15, 0.6])
def test_a_member_that_is_late_to_all_is_left_out_soon(late: float) -> None:
    simulation = simulate("SLOW", late=late, rejoin=Rejoin.NONE, steps=20)
    assert members(simulation) == set(range(PEERS - 2))
    assert simulation.network.now <= MOST * 20 / STEPS * honest_seconds(SEED)


def test_an_honest_member_at_half_the_speed_stays() -> None:
    simulation = simulate(slower=2.0)
    assert members(simulation) == set(range(PEERS))
    assert isinstance(simulation.peers[0].history[-1], Finished)


@pytest.mark.parametrize(
    ("count", "most", "seed"),
    quick(1, [(5, 0.95, 1), (8, 0.5, 1), (8, 0.95, 1), (5, 0.95, 2), (8, 0.5, 2), (8, 0.95, 2)]),
)
def test_a_slower_network_costs_nobody_its_place(count: int, most: float, seed: int) -> None:
    swarm = Swarm(count, steps=1000, seed=seed)
    for peer in swarm.peers:
        peer.begin(swarm.genesis)
    swarm.network.run(until=2.0 + 0.07 * seed)
    before = len(swarm.peers[0].finished())
    swarm.network.conditions = NetworkConditions(delay=(0.001, most * RULES.delay_bound_seconds))
    swarm.network.run(until=swarm.network.now + 30.0)
    assert [peer.stopped for peer in swarm.peers] == [None] * count
    assert all(len(peer.finished()) >= before + 2 for peer in swarm.peers)


@pytest.mark.parametrize(("slower", "slowest", "stays"), [(5.0, 12.0, True), (4.0, 3.0, True), (4.0, 1.5, False)])
def test_a_run_says_how_slow_a_member_may_be(slower: float, slowest: float, stays: bool) -> None:
    simulation = simulate(slower=slower, rejoin=Rejoin.NONE, steps=20, slowest=slowest)
    assert members(simulation) == set(range(0 if stays else 1, PEERS))


def test_a_member_five_times_slower_is_left_out_and_told() -> None:
    simulation = simulate(slower=5.0, rejoin=Rejoin.NONE, steps=20)
    assert members(simulation) == set(range(1, PEERS))
    stopped = simulation.peers[0].stopped
    assert stopped is not None
    assert "waited" in stopped.reason
