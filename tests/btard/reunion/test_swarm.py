"""Whole simulated swarms that are killed, with what their disks kept, and go on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from btard.behaviour import Behaviour
from btard.executor import Executor
from btard.hashing import digest
from btard.identity import Envelope
from btard.reunion.messages import Memory, Place
from btard.reunion.reunion import Reunion
from btard.round.actions import Finished
from btard.round.roster import Roster
from btard.round.session import Session
from btard.tensors import bytes_of
from btard.transport.memory import SimulatedPeer
from btard.vectors.momentum import KeptLink
from tests.btard.round.swarm import RULES, Swarm
from tests.quick import quick

TURN = 1.0
WINDOW = 6.0
NEVER = 10_000.0


@dataclass
class Kept:
    """What a disk has of a step that began."""

    roster: Roster
    parameters: bytes
    link: KeptLink | None

    @property
    def place(self) -> Place:
        return Place(self.roster.step, self.roster.digest, digest(self.parameters))


class Keeper(SimulatedPeer):
    """Keeps each state that it begins a step with, and may be killed and come back."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.disk: list[Kept] = []
        self.begun: list[tuple[int, int]] = []
        self.incarnation = 0
        self.proof: tuple[Envelope, ...] = ()
        self.reunion: Reunion | None = None
        self.present = False

    def begin(self, roster: Roster) -> None:
        self.disk.append(Kept(roster, bytes(bytes_of(self.parameters)), self.trainer._momentum.last()))
        assert (self.incarnation, roster.step) not in self.begun, "no step is begun twice in an incarnation"
        self.begun.append((self.incarnation, roster.step))
        super().begin(roster)

    @property
    def is_through(self) -> bool:
        """Whether it has finished the last step."""
        return not self.present and bool(self.history) and self.history[-1].step == self.last_step

    def come_back(self) -> None:
        """Start again with what the disk has, and nothing else."""
        memory = Memory(tuple(kept.place for kept in self.disk))
        roster = self.disk[-1].roster
        run, number = self.rules.reborn(0).run, self.incarnation
        self.reunion = Reunion(self.key, run, roster, memory, number, window_seconds=WINDOW, luck=0.5, proof=self.proof)
        self.present, self.crashed = True, True

    def go_on(self, incarnation: int, kept: Kept) -> None:
        """Begin again from a state, in another incarnation."""
        assert self.reunion is not None
        self.incarnation, self.proof = incarnation, self.reunion.proof(incarnation)
        self.rules = self.rules.reborn(incarnation)
        self.session = Session(self.rules, self.key, self.behaviour)
        self.executor = Executor(self.rules, self.peer_id, self.behaviour, self.trainer, self, _here)
        self.disk = [one for one in self.disk if one.place.step < kept.place.step]
        self.take_over(kept.parameters, kept.roster.step)
        if kept.link is not None:
            self.trainer._momentum.go_on(kept.link)
        self.history = [event for event in self.history if isinstance(event, Finished)]
        self.history = [event for event in self.history if event.step < kept.roster.step]
        self.present, self.crashed = False, False
        self._watched = -1.0
        self.begin(kept.roster)


async def _here(work: Callable[[], object]) -> object:
    return work()


class Killed:
    """A swarm that is killed at a time of the virtual clock, and comes back."""

    def __init__(self, count: int = 5, *, at: float, steps: int = 12, **named: object) -> None:
        self.swarm = Swarm(count, steps=steps, peer_type=Keeper, **named)  # type: ignore[arg-type]
        self.peers: list[Keeper] = self.swarm.peers  # type: ignore[assignment]
        self._turning = False
        for peer in self.peers:
            peer.begin(self.swarm.genesis)
        self.swarm.network.run(until=at)
        self.kill()

    def kill(self) -> None:
        """Let all die without a word."""
        for peer in self.peers:
            peer.crashed, peer.present = True, False

    @property
    def stood(self) -> list[int]:
        """The step in which each peer was killed."""
        return [peer.disk[-1].roster.step for peer in self.peers]

    def come_back(self, *numbers: int) -> None:
        """Let these peers start again."""
        for number in numbers:
            self.peers[number].come_back()
        if not self._turning:
            self._turning = True
            self.swarm.network.at(self.swarm.network.now + TURN, self._turn)

    def _turn(self) -> None:
        """Let all that are back show each other what they know, and begin what they decide."""
        now, back = self.swarm.network.now, [peer for peer in self.peers if peer.present]
        kept = {one.place: one for peer in back for one in peer.disk}
        shown = [peer.reunion.envelopes for peer in back if peer.reunion is not None]
        for peer in back:
            assert peer.reunion is not None
            for envelopes in shown:
                peer.reunion.hear(now, envelopes)
            decided = peer.reunion.tick(now, kept)
            if decided is not None:
                peer.go_on(decided.incarnation, self._own(peer, kept[decided.place]))
        self._turning = any(peer.present for peer in self.peers) and now < NEVER
        if self._turning:
            self.swarm.network.at(now + TURN, self._turn)

    @staticmethod
    def _own(peer: Keeper, kept: Kept) -> Kept:
        """What was downloaded has another peer's momentum, which does not come along."""
        return next((one for one in peer.disk if one.place == kept.place), replace(kept, link=None))

    def run(self) -> Killed:
        """Let the swarm go on to its end."""
        alive = [peer for peer in self.peers if peer.present]
        self.swarm.network.run(until=NEVER, done=lambda: all(peer.is_through for peer in alive))
        return self

    def check(self) -> None:
        """Assert that all that came back hold the same."""
        back = [peer for peer in self.peers if not peer.crashed]
        assert back and len({bytes(bytes_of(peer.parameters)) for peer in back}) == 1
        assert {peer.history[-1].step for peer in back} == {back[0].last_step}
        self.swarm.check_agreement()


def unbroken(**named: object) -> torch.Tensor:
    """Return what the same swarm comes to without an accident."""
    swarm = Swarm(5, steps=12, **named).run()  # type: ignore[arg-type]
    return swarm.peers[0].parameters


SAME = replace(RULES, same_randomness=True, verification=replace(RULES.verification, validators=0.0))
MOMENTUM = replace(SAME, verification=replace(SAME.verification, momentum=0.5))


@pytest.mark.parametrize("at", [0.05, 0.5, 1.03, 1.11, 1.35])
@pytest.mark.parametrize("rules", [SAME, MOMENTUM], ids=["plain", "momentum"])
def test_a_killed_swarm_comes_to_what_an_unbroken_one_does(at: float, rules: object) -> None:
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


@pytest.mark.parametrize("seed", quick(5, range(20)))
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
