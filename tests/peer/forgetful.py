"""A simulated swarm in which one honest peer dies at a chosen moment, loses its memory, and is started again.

What is left of it is its key, and its `progress` file as the disk has it. It comes back by the rules of the training
loop (`peer/training.py`): it believes the roster and the state of most members, begins no step that it may have
begun, and knocks until it is a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import PeerId
from btard.peer.keeping.progress import Progress
from btard.round.actions import Action, Finished, Stopped, Voided
from btard.round.admission import Doorstep
from btard.round.roster import Roster
from btard.swarm.questions import Head
from btard.swarm.state_sync import newest_roster, state_digest
from btard.tensors import bytes_of
from btard.transport.memory import NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from tests.btard.round.swarm import RULES, Swarm, offences, one_by_one, seeded_gradient, suspended

SHORT = replace(
    RULES, commit_seconds=3.0, scatter_seconds=1.5, gather_seconds=1.5, agree_seconds=1.5, delay_bound_seconds=0.5
)
_POLL_SECONDS = 0.5


class Disk(StrEnum):
    """What the disk has of the `progress` file after the crash."""

    KEPT = "kept"
    TORN = "torn"
    LOST = "lost"


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


class Forgetful(Swarm):
    """A swarm of which one honest member loses its memory.

    Attributes:
        died: whether the moment has come.
        moments: how many the peer has lived through in that step.
        returned: the steps that the peer has finished since it was started again.
        events: everything that has happened to it, in both lives.
    """

    def __init__(
        self, count: int, loss: Loss, directory: Path, *, steps: int, behaviours: dict[int, Behaviour], seed: int = 0
    ) -> None:
        self.loss, self.died, self.returned = loss, False, 0
        self.moments = 0
        self._file = directory / "progress"
        self._file.unlink(missing_ok=True)
        self.events: list[Finished | Stopped | Voided] = []
        super().__init__(
            count,
            steps=steps,
            seed=seed,
            behaviours=behaviours,
            rules=SHORT,
            peer_type=self._member,
            conditions=NetworkConditions(delay=(0.008, 0.012)),
        )
        self._mortal = self.peers[loss.peer]
        self._waiting = False
        self._doorsteps = {peer.peer_id: Doorstep() for peer in self.peers}
        self._progress = self._opened()

    def _opened(self) -> Progress:
        return Progress(self._file, self.rules.run.hex(), traces=self.died)

    def _member(self, *arguments: Any, **named: Any) -> SimulatedPeer:
        return _Member(self, *arguments, **named)

    def run(self) -> Forgetful:
        """Let all begin, and let things happen until the peer has come back for a few steps, or the run is over."""
        super().run()
        return self

    def done(self) -> bool:
        others = [peer for peer in self.honest if peer is not self._mortal]
        return self.returned >= 2 or all(peer.stopped or len(peer.finished()) > peer.last_step for peer in others)

    def begins(self, peer: SimulatedPeer, roster: Roster) -> None:
        """A peer is about to begin a step."""
        if peer is self._mortal:
            self._progress.begin(roster, _state(peer))
        waiting = {self._mortal.peer_id} if self._waiting else set()
        peer.candidates = self._doorsteps[peer.peer_id].names(roster, waiting)

    def dies(self, peer: SimulatedPeer, moment: int) -> bool:
        """Whether a peer's moment has come."""
        roster, loss = peer.session.roster, self.loss
        if self.died or peer is not self._mortal or roster is None or roster.step != loss.step:
            return False
        self.moments = moment + 1
        if moment < loss.moment:
            return False
        peer.crash()
        self.died = True
        if loss.disk is Disk.TORN:
            self._file.write_bytes(b"")
        elif loss.disk is Disk.LOST:
            self._file.unlink()
        self.network.at(self.network.now + loss.pause_seconds, self._start_again)
        return True

    def happened(self, peer: SimulatedPeer, event: Finished | Stopped | Voided) -> None:
        """Something has happened to a peer."""
        if peer is not self._mortal:
            return
        self.events.append(event)
        if self.died and isinstance(event, Finished):
            self.returned += 1
        if self.died and isinstance(event, Stopped):
            self._enter(self.genesis)

    def _start_again(self) -> None:
        old = self._mortal
        trainer = VectorTrainer(
            seeded_gradient, torch.zeros(self.rules.dimension), momentum=self.rules.verification.momentum
        )
        self._mortal = _Member(self, self.network, old.key, self.rules, trainer, last_step=old.last_step)
        self.peers[self.loss.peer] = self._mortal
        self._doorsteps[old.peer_id] = Doorstep()
        self._progress = self._opened()
        newest = newest_roster(self.genesis, self._heads())
        beginning = newest is None or newest.step == 0
        new = not self._progress.restarted and self._progress.may_begin(self.genesis, old.peer_id, 0)
        if new and beginning:
            self._mortal.begin(self.genesis)
        else:
            self._enter(self.genesis)

    def _heads(self) -> dict[PeerId, Head]:
        heads: dict[PeerId, Head] = {}
        for peer in self.peers:
            roster = peer.session.roster
            if roster is not None and not peer.crashed and peer is not self._mortal and peer.stopped is None:
                heads[peer.peer_id] = Head(roster, _state(peer), ())
        return heads

    def _enter(self, trusted: Roster) -> None:
        """Look where the members stand, and begin with them if they count this peer in; else look again."""
        self._waiting = True
        me, heads = self._mortal.peer_id, self._heads()
        newest = newest_roster(trusted, heads)
        if newest is not None and me not in newest.banned:
            state = state_digest(newest, heads, newest.step)
            self._progress.saw(newest, state, new=me not in newest.members)
            if self._progress.may_begin(newest, me, 0) and state is not None:
                source = next(
                    peer for peer in self.peers if peer.peer_id in heads and heads[peer.peer_id].state == state
                )
                self._waiting = False
                self._mortal.take_over(bytes(bytes_of(source.parameters)), newest.step)
                self._mortal.begin(newest)
                return
        self.network.at(self.network.now + _POLL_SECONDS, lambda: self._enter(newest or trusted))

    def check(self) -> None:
        """Assert that nobody is divided, no honest peer pays but the one that was away, and it has come back."""
        self.check_agreement()
        liars = {self.peers[place].peer_id for place in self.liars}
        for place, peer in enumerate(self.peers):
            if place not in self.liars:
                assert offences(peer).keys() <= liars, (self.loss, offences(peer))
                assert suspended(peer) <= liars | {self._mortal.peer_id}, (self.loss, peer.history)
                assert peer is self._mortal or peer.stopped is None, (self.loss, peer.stopped)
        assert not self.died or self.returned, (self.loss, self.events)


class _Member(SimulatedPeer):
    """A member that tells the swarm what it does, and stops where the swarm says so."""

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
