"""The simulated network: a clock that only events move, and delays, losses and partitions that a seed repeats."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from btard.identity import PeerId
from btard.round.rules import VerificationRules
from btard.transport.memory import Network, NetworkConditions
from tests.btard.round.swarm import RULES, Swarm

Log = list[tuple[float, int]]


def exchange(seed: int, conditions: NetworkConditions, count: int = 200) -> Log:
    """Return when which of `count` messages from one peer to another arrives."""
    swarm = Swarm(2, seed=seed, conditions=conditions)
    sender, receiver = swarm.peers
    arrived: Log = []
    for number in range(count):
        swarm.network.deliver(
            sender.peer_id, receiver.peer_id, lambda _, n=number: arrived.append((swarm.network.now, n))
        )
    swarm.network.run()
    return arrived


def test_events_happen_in_order_of_time_and_then_of_asking() -> None:
    network = Network(0, NetworkConditions())
    happened: list[tuple[float, str]] = []
    for when, name in ((2.0, "c"), (1.0, "a"), (2.0, "d"), (1.0, "b")):
        network.at(when, lambda n=name: happened.append((network.now, n)))
    network.run()
    assert happened == [(1.0, "a"), (1.0, "b"), (2.0, "c"), (2.0, "d")]


def test_the_clock_never_goes_back() -> None:
    network = Network(0, NetworkConditions())
    happened: list[float] = []
    network.at(5.0, lambda: network.at(1.0, lambda: happened.append(network.now)))
    network.run()
    assert happened == [5.0]


def test_running_stops_at_a_time_or_when_done_and_can_go_on() -> None:
    network = Network(0, NetworkConditions())
    happened: list[int] = []
    for second in range(1, 6):
        network.at(float(second), lambda s=second: happened.append(s))
    network.run(until=2.5)
    assert (happened, network.now) == ([1, 2], 2.0)
    network.run(done=lambda: len(happened) == 4)
    assert happened == [1, 2, 3, 4]
    network.run()
    assert (happened, network.now) == ([1, 2, 3, 4, 5], 5.0)


def test_a_fixed_delay_keeps_the_order() -> None:
    assert exchange(0, NetworkConditions(delay=(0.25, 0.25)), 5) == [(0.25, n) for n in range(5)]


def test_delays_stay_within_their_range_and_reorder() -> None:
    arrived = exchange(0, NetworkConditions(delay=(0.5, 2.0)))
    times, numbers = zip(*arrived, strict=True)
    assert 0.5 <= min(times) < 0.6 and 1.9 < max(times) <= 2.0
    assert sorted(numbers) == list(range(200)) != list(numbers)


@pytest.mark.parametrize("loss, least, most", [(0.0, 200, 200), (0.3, 110, 170), (1.0, 0, 0)])
def test_loss_is_as_likely_as_asked_for(loss: float, least: int, most: int) -> None:
    assert least <= len(exchange(1, NetworkConditions(loss=loss))) <= most


def test_a_seed_repeats_delays_and_losses() -> None:
    conditions = NetworkConditions(delay=(0.0, 1.0), loss=0.2)
    assert exchange(3, conditions) == exchange(3, conditions) != exchange(4, conditions)


def test_a_partition_cuts_and_heals() -> None:
    swarm = Swarm(4)
    ids = [peer.peer_id for peer in swarm.peers]
    network, arrived = swarm.network, set[tuple[int, int]]()

    def everyone_writes() -> set[tuple[int, int]]:
        arrived.clear()
        for one, other in itertools.permutations(range(4), 2):
            network.deliver(ids[one], ids[other], lambda _, pair=(one, other): arrived.add(pair))
        network.run()
        return set(arrived)

    everyone = set(itertools.permutations(range(4), 2))
    network.partition([ids[0], ids[1]])
    assert everyone_writes() == {(0, 1), (1, 0), (2, 3), (3, 2)}
    network.partition([ids[0]], [ids[1]])
    assert everyone_writes() == {(2, 3), (3, 2)}
    network.partition()
    assert everyone_writes() == everyone


def test_what_travels_when_the_cut_comes_is_lost() -> None:
    swarm = Swarm(2)
    one, other = (peer.peer_id for peer in swarm.peers)
    arrived: list[PeerId] = []
    swarm.network.deliver(one, other, lambda to: arrived.append(to.peer_id))
    swarm.network.at(0.005, lambda: swarm.network.partition([one]))
    swarm.network.run()
    assert arrived == []


def test_nothing_reaches_the_dead_or_the_unknown() -> None:
    swarm = Swarm(2)
    one, other = swarm.peers
    arrived: list[PeerId] = []
    other.crash()
    swarm.network.deliver(one.peer_id, other.peer_id, lambda to: arrived.append(to.peer_id))
    swarm.network.deliver(one.peer_id, PeerId.from_public_key(bytes(32)), lambda to: arrived.append(to.peer_id))
    swarm.network.run()
    assert arrived == []


def test_a_swarm_that_is_cut_for_a_while_goes_on_when_healed() -> None:
    swarm = Swarm(5, steps=2)
    ids = [peer.peer_id for peer in swarm.peers]
    swarm.network.partition(ids[:2], ids[2:])
    swarm.network.at(0.1, swarm.network.partition)
    swarm.run()
    swarm.check_agreement()
    assert [len(peer.finished()) for peer in swarm.peers] == [2] * 5
    assert swarm.network.now < 1.0


def test_bytes_are_counted_at_the_sender_and_the_receiver() -> None:
    swarm = Swarm(4, steps=2, rules=replace(RULES, verification=VerificationRules())).run()
    sent = sum(peer.traffic.parts_sent for peer in swarm.peers)
    # In two steps every number, of four bytes, travels to its owner from three others, and from it to three others.
    assert sent == 2 * 2 * 3 * 4 * RULES.dimension
    assert sent == sum(peer.traffic.parts_received for peer in swarm.peers)
    assert all(peer.traffic.control_sent > 0 for peer in swarm.peers)


def test_computing_takes_virtual_time_only() -> None:
    swarm = Swarm(3, steps=1)
    for peer in swarm.peers:
        peer.compute_seconds = 19.0
    swarm.run()
    assert all(len(peer.finished()) == 1 for peer in swarm.peers)
    assert 19.0 < swarm.network.now < 19.2
