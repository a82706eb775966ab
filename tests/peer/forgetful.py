"""A simulated swarm in which one honest peer dies at a chosen moment, loses its memory, and is started again.

What is left of it is its key, and its `progress` file as the disk has it. It comes back by the rules of the training
loop (`peer/training.py`): it believes the roster and the state of most members, begins no step that it may have
begun, and knocks until it is a member. Or its folder is copied at that moment, and the copy is started beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import PeerId
from btard.peer.keeping.progress import Progress
from btard.round.actions import Action, Finished, OutcomeKind, Stopped, Voided
from btard.round.admission import Doorstep
from btard.round.roster import Roster
from btard.swarm.questions import Head
from btard.swarm.state_sync import newest_roster, state_digest
from btard.tensors import bytes_of
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from btard.transport.virtual import Arrival
from tests.btard.round.swarm import RULES, Swarm, offences, one_by_one, seeded_gradient, suspended

SHORT = replace(
    RULES, commit_seconds=3.0, scatter_seconds=1.5, gather_seconds=1.5, agree_seconds=1.5, delay_bound_seconds=0.5
)
_POLL_SECONDS = 0.5

CLOSE, FAR = (0.008, 0.012), (0.001, 0.3)
"""Seconds that messages travel: all members are in one step, or some of them half a second behind the others."""


class Disk(StrEnum):
    """What the disk has of the `progress` file after the crash."""

    KEPT = "kept"
    TORN = "torn"
    LOST = "lost"
    """It is missing, but other files of the folder are there."""
    DELETED = "deleted"
    """All of the folder is missing; the key was kept elsewhere."""
    OLDER = "older"
    """It is as the step before has left it."""
    COPIED = "copied"
    """It is as it was; but the peer has not died, and another runs on a copy of its folder."""


@dataclass(frozen=True)
class Loss:
    """When one peer loses its memory.

    Attributes:
        peer: its place in the first roster.
        step: in which it dies.
        moment: how many things it still does in that step: each message to one receiver counts, and each event that
            makes it do something.
        pause_seconds: until it is started again.
        disk: what it still knows of its progress.
    """

    peer: int
    step: int
    moment: int
    pause_seconds: float
    disk: Disk


class _Doubled(Network):
    """A network in which a key may run twice: what is meant for it reaches both."""

    def __init__(self, seed: int, conditions: NetworkConditions) -> None:
        super().__init__(seed, conditions)
        self.beside: dict[PeerId, SimulatedPeer] = {}

    def _arrive(self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival) -> None:
        super()._arrive(sender, receivers, arrive)
        for receiver in receivers:
            if receiver in self.beside:
                arrive(self.beside[receiver])


class Forgetful(Swarm):
    """A swarm of which one honest member loses its memory.

    Attributes:
        died: whether the moment has come.
        moments: how many the peer has lived through in that step.
        attempts: how many it has taken part in there.
        written: what its file has held there.
        returned: the steps that the peer, or the copy, has finished since it was started again.
        events: everything that has happened to it, in both lives.
        begun: the steps that it has begun, in both lives.
        begun_beside: those that a copy has begun.
        most_stood_at: the step in which most others were when it was started again; None where they were apart.
    """

    network_type = _Doubled
    network: _Doubled

    def __init__(
        self,
        count: int,
        loss: Loss,
        directory: Path,
        *,
        steps: int,
        behaviours: dict[int, Behaviour],
        seed: int = 0,
        delay: tuple[float, float] = CLOSE,
    ) -> None:
        self.loss, self.died, self.returned = loss, False, 0
        self.moments, self.attempts, self.written = 0, 0, set[bytes]()
        self._file = directory / "progress"
        self._file.unlink(missing_ok=True)
        self._older: bytes | None = None
        self.events: list[Finished | Stopped | Voided] = []
        self.begun: list[int] = []
        self.begun_beside: list[int] = []
        self.most_stood_at: int | None = None
        super().__init__(
            count,
            steps=steps,
            seed=seed,
            behaviours=behaviours,
            rules=SHORT,
            peer_type=partial(_Member, self),
            conditions=NetworkConditions(delay=delay),
        )
        self.mortal = self.peers[loss.peer]
        assert isinstance(self.mortal, _Member)
        self.mortal.progress = self._opened(self._file, traces=False)
        if loss.disk is Disk.COPIED:
            self.liars = self.liars | {loss.peer}  # it may pay, and its results are not compared
        for peer in self.peers if delay == FAR else ():
            peer.compute_seconds = 0.001
        self._waiting = False
        self._doorsteps = {peer.peer_id: Doorstep() for peer in self.peers}

    def _opened(self, file: Path, *, traces: bool) -> Progress:
        return Progress(file, self.rules.run.hex(), traces=traces)

    def run(self) -> Forgetful:
        """Let all begin, and let things happen until the peer has come back for a few steps, or the run is over."""
        super().run()
        return self

    def done(self) -> bool:
        others = [peer for peer in self.honest if peer is not self.mortal]
        return self.returned >= 2 or all(peer.stopped or len(peer.finished()) > peer.last_step for peer in others)

    def begins(self, peer: _Member, roster: Roster) -> None:
        """A peer is about to begin a step."""
        if peer.progress is not None:
            self._older = self._file.read_bytes() if self._file.exists() else None
            peer.progress.begin(roster, _state(peer))
            (self.begun if peer is self.mortal else self.begun_beside).append(roster.step)
        waiting = {self.mortal.peer_id} if self._waiting else set()
        peer.candidates = self._doorsteps[peer.peer_id].names(roster, waiting)

    def dies(self, peer: SimulatedPeer, moment: int) -> bool:
        """Whether a peer's moment has come."""
        roster, loss = peer.session.roster, self.loss
        if self.died or peer is not self.mortal or roster is None or roster.step != loss.step:
            return False
        self.moments = moment + 1
        assert peer.session.machine is not None
        self.attempts = peer.session.machine.attempt.seats.number + 1
        self.written.add(self._file.read_bytes())
        if moment < loss.moment:
            return False
        self.died = True
        self._strike(peer)
        self.network.at(self.network.now + loss.pause_seconds, self._start_again)
        return loss.disk is not Disk.COPIED

    def _strike(self, peer: SimulatedPeer) -> None:
        match self.loss.disk:
            case Disk.COPIED:
                self._file = self._file.with_name("progress of the copy")
                self._file.write_bytes(self._file.with_name("progress").read_bytes())
                return
            case Disk.TORN:
                self._file.write_bytes(b"")
            case Disk.LOST | Disk.DELETED:
                self._file.unlink()
            case Disk.OLDER if self._older is None:
                self._file.unlink()
            case Disk.OLDER:
                assert self._older is not None
                self._file.write_bytes(self._older)
            case Disk.KEPT:
                pass
        peer.crash()

    def happened(self, peer: _Member, event: Finished | Stopped | Voided) -> None:
        """Something has happened to a peer."""
        if peer.progress is None:
            return
        self.events.append(event)
        if self.died and isinstance(event, Finished):
            self.returned += self.loss.disk is not Disk.COPIED
        if self.died and isinstance(event, Stopped) and event.kind is not OutcomeKind.BANNED:
            self._enter(peer, self.genesis)

    def _start_again(self) -> None:
        old = self.mortal
        trainer = VectorTrainer(
            seeded_gradient, torch.zeros(self.rules.dimension), momentum=self.rules.verification.momentum
        )
        again = _Member(self, self.network, old.key, self.rules, trainer, last_step=old.last_step)
        if self.loss.disk is Disk.COPIED:
            self.network.beside[old.peer_id] = old
        else:
            self.peers[self.loss.peer] = self.mortal = again
        self._doorsteps[old.peer_id] = Doorstep()
        deleted = self.loss.disk is Disk.DELETED
        again.progress = self._opened(self._file, traces=not deleted)
        if deleted:
            again.progress.finds_run_begun()
        newest = newest_roster(self.genesis, self._heads(again))
        self.most_stood_at = None if newest is None else newest.step
        beginning = newest is None or newest.step == 0
        new = not again.progress.restarted and again.progress.may_begin(self.genesis, old.peer_id, 0)
        if new and beginning:
            again.begin(self.genesis)
        else:
            self._enter(again, self.genesis)

    def _heads(self, asker: SimulatedPeer) -> dict[PeerId, Head]:
        heads: dict[PeerId, Head] = {}
        for peer in self.peers:
            roster = peer.session.roster
            if roster is not None and not peer.crashed and peer.key != asker.key and peer.stopped is None:
                heads[peer.peer_id] = Head(roster, _state(peer), ())
        return heads

    def _enter(self, peer: _Member, trusted: Roster) -> None:
        """Look where the members stand, and begin with them if they count this peer in; else look again."""
        self._waiting = True
        me, heads = peer.peer_id, self._heads(peer)
        newest = newest_roster(trusted, heads)
        if newest is not None and me not in newest.banned:
            assert peer.progress is not None
            state = state_digest(newest, heads, newest.step)
            peer.progress.saw(newest, state, new=me not in newest.members)
            if peer.progress.may_begin(newest, me, 0) and state is not None:
                source = next(one for one in self.peers if one.peer_id in heads and heads[one.peer_id].state == state)
                self._waiting = False
                peer.take_over(bytes(bytes_of(source.parameters)), newest.step)
                peer.begin(newest)
                return
        self.network.at(self.network.now + _POLL_SECONDS, lambda: self._enter(peer, newest or trusted))

    def check(self, *, lives: bool = True) -> None:
        """Assert that nobody is divided, no honest peer pays but the one that was away, and it has come back; a key
        that runs twice may pay itself.

        Args:
            lives: whether most voters are honest and there; else nobody is divided or banned, but places may be lost.
        """
        self.check_agreement()
        liars = {self.peers[place].peer_id for place in self.liars}
        for place, peer in enumerate(self.peers):
            if place not in self.liars:
                assert offences(peer).keys() <= liars, (self.loss, offences(peer))
                if lives:
                    assert suspended(peer) <= liars | {self.mortal.peer_id}, (self.loss, suspended(peer))
                    assert peer is self.mortal or peer.stopped is None, (self.loss, peer.stopped)
        twice = self.loss.disk is Disk.COPIED
        assert len(set(self.begun)) == len(self.begun), (self.loss, self.begun)
        assert not self.died or twice or not lives or self.returned, (self.loss, self.events)


class _Member(SimulatedPeer):
    """A member that tells the swarm what it does, and stops where the swarm says so.

    Attributes:
        progress: of a member that loses its memory.
    """

    progress: Progress | None = None

    def __init__(self, swarm: Forgetful, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._swarm = swarm
        self._moment, self._step = 0, -1

    def begin(self, roster: Roster) -> None:
        self._swarm.begins(self, roster)
        super().begin(roster)

    def perform(self, actions: Sequence[Action]) -> None:
        """Do one thing after the other, each message to each receiver by itself."""
        if self.crashed or self._ends():
            return
        for action in actions:
            for one in one_by_one(action):
                if not self.crashed:
                    super().perform([one])
                if self.crashed or self._ends():
                    return
        super().perform([])  # looks when it is to be called again

    def _ends(self) -> bool:
        step = -1 if self.session.roster is None else self.session.roster.step
        self._moment = self._moment + 1 if step == self._step else 0
        self._step = step
        return self._swarm.dies(self, self._moment)

    def note(self, event: Finished | Stopped | Voided) -> None:
        super().note(event)
        self._swarm.happened(self, event)


def _state(peer: SimulatedPeer) -> bytes:
    return digest(bytes(bytes_of(peer.parameters)))
