"""One step under the simulated network: members that leave and enter."""

from __future__ import annotations

import dataclasses

import pytest

from btard.behaviour import Behaviour, LeaveReason
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.delivery.patience import begins_within, lives_for
from btard.round.messages.bodies import MAX_CANDIDATES
from btard.round.roster import Roster
from btard.tensors import bytes_of
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm, one_of, voids


class Leaves(Behaviour):
    """Leaves after step 0."""

    def __init__(self, reason: LeaveReason) -> None:
        self.reason = reason

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        return self.reason


@pytest.mark.parametrize("reason", list(LeaveReason))
def test_nobody_misses_a_peer_that_leaves(reason: LeaveReason) -> None:
    swarm = Swarm(5, steps=3, behaviours={0: Leaves(reason)}).run()
    swarm.check_agreement()
    gone = swarm.peers[0].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        last = peer.finished()[-1].roster
        assert gone not in last.members
        assert last.banned == ({gone} if reason is LeaveReason.LOTTERY else set())
    assert swarm.network.now < 1.0, "a goodbye is not waited for"


class Deaf(SimulatedPeer):
    """Hears of nobody's digest, so that the others finish a step before it does."""

    def receive(self, sender: PeerId, data: bytes) -> None:
        if Envelope.decode(data).kind is not MessageKind.DIGEST:
            super().receive(sender, data)


def test_nobody_misses_a_peer_that_leaves_a_finished_step() -> None:
    swarm = Swarm(5, steps=3, peer_type=one_of(Deaf, 2))
    leaver = swarm.peers[2]
    others = [peer for peer in swarm.peers if peer is not leaver]

    for peer in swarm.peers:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: all(peer.finished() for peer in others))
    assert not leaver.finished()
    leaver.leave(LeaveReason.SHUTDOWN)
    swarm.network.run(done=swarm.done)
    swarm.check_agreement()
    assert leaver.crashed and all(len(peer.finished()) == 3 for peer in others)
    assert swarm.network.now < 1.0, "a goodbye is not waited for"


def visited(admitted_by: int) -> Swarm:
    """Return a swarm of five that has done step 0, in which so many would admit a sixth peer."""
    swarm = Swarm(6, steps=3)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    for peer in crowd[:admitted_by]:
        peer.candidates = (newcomer.peer_id,)
    swarm.genesis = dataclasses.replace(swarm.genesis, members=tuple(peer.peer_id for peer in crowd))
    for peer in crowd:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: bool(crowd[0].finished()))
    return swarm


def test_newcomers_enter_when_most_would_admit_them() -> None:
    swarm = visited(admitted_by=3)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    roster = crowd[0].finished()[0].roster
    assert newcomer.peer_id in roster.members
    newcomer.take_over(bytes(bytes_of(crowd[0].parameters)), roster.step)
    newcomer.begin(roster)
    swarm.network.run()
    swarm.check_agreement()
    assert [result.step for result in newcomer.finished()] == [1, 2]


def test_fewer_than_most_admit_nobody() -> None:
    swarm = Swarm(5, steps=1)
    stranger = IdentityKey.generate().peer_id
    for peer in swarm.peers[:2]:
        peer.candidates = (stranger,)
    swarm.run()
    assert all(stranger not in peer.finished()[0].roster.members for peer in swarm.peers)


def test_of_a_crowd_one_enters_and_all_members_know_which() -> None:
    crowd = tuple(sorted(IdentityKey.from_seed(bytes([i]) * 32).peer_id for i in range(MAX_CANDIDATES)))
    entered = set()
    for seed in range(3):
        swarm = Swarm(5, steps=1, seed=seed)
        for number, peer in enumerate(swarm.peers):
            peer.candidates = crowd if number < 3 else crowd[:1]
        swarm.run().check_agreement()
        (winner,) = set(swarm.peers[0].finished()[0].roster.members).intersection(crowd)
        entered.add(winner)
    assert len(entered) > 1, "the draw decides, not the key"


def test_two_goodbyes_in_one_step_are_both_believed() -> None:
    leavers = {i: Leaves(LeaveReason.LOTTERY) for i in (0, 4)}
    swarm = Swarm(7, steps=3, behaviours=leavers).run()
    swarm.check_agreement()
    gone = {swarm.peers[i].peer_id for i in leavers}
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        assert peer.finished()[-1].roster.banned == gone


def test_a_newcomer_that_says_it_loads_is_waited_for() -> None:
    swarm = visited(admitted_by=5)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    first, began = crowd[0].finished()[0], swarm.network.now

    def enter() -> None:
        newcomer.take_over(bytes(bytes_of(crowd[0].parameters)), first.roster.step)
        newcomer.begin(first.roster)

    def say() -> None:
        newcomer.perform(newcomer.session.tell_at_work(first.roster))

    loads_seconds = 9
    for second in range(loads_seconds):
        swarm.network.at(began + second, say)
    swarm.network.at(began + loads_seconds, enter)
    swarm.network.run(done=swarm.done)
    assert [result.step for result in newcomer.finished()] == [1, 2]
    assert not any(voids(peer) for peer in crowd)


def test_a_newcomer_that_says_nothing_is_soon_left_out() -> None:
    swarm = visited(admitted_by=5)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    began = swarm.network.now
    newcomer.crash()
    swarm.network.run(done=lambda: all(len(peer.finished()) == 2 for peer in crowd))
    assert all(newcomer.peer_id not in peer.finished()[1].roster.members for peer in crowd)
    assert swarm.network.now - began < lives_for(swarm.rules) + swarm.rules.delay_bound_seconds


def test_a_peer_dead_in_the_first_step_is_soon_left_out() -> None:
    swarm = Swarm(5, steps=2)
    swarm.peers[2].crash()
    swarm.run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 2 for peer in swarm.honest)
    assert swarm.network.now < begins_within(swarm.rules) + swarm.rules.delay_bound_seconds < swarm.rules.commit_seconds


def test_a_long_first_computation_costs_no_place() -> None:
    swarm = Swarm(5, steps=1)
    swarm.peers[2].compute_seconds = swarm.rules.commit_seconds
    swarm.run()
    assert len(swarm.peers[2].finished()) == 1 and not any(voids(peer) for peer in swarm.peers)
