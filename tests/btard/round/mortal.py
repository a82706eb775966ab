"""Simulated peers that die at a chosen moment of a step, as a machine does that loses its power."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from btard.round.actions import Action, Finished, Stopped, Voided
from btard.transport.memory import NetworkConditions, SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, one_by_one, suspended

PATIENT = replace(
    RULES,
    commit_seconds=120.0,
    scatter_seconds=60.0,
    gather_seconds=60.0,
    agree_seconds=20.0,
    delay_bound_seconds=5.0,
)
"""The deadlines of a coordinator that is told nothing else: what they decide takes minutes."""


@dataclass(frozen=True)
class Death:
    """Which members die, and when.

    Attributes:
        peers: their places in the first roster; the first one dies at the moment, the others soon after.
        step: in which it does.
        moment: how many things the first one still does in that step: each message to one receiver counts, and each
            event that makes it do something.
        apart_seconds: until the others die.
    """

    peers: tuple[int, ...]
    step: int
    moment: int
    apart_seconds: float = 0.0


class MortalSwarm(Swarm):
    """A swarm of honest peers of which some die.

    Attributes:
        died_at: when the first one did, None if its moment has not come.
        lived: the others.
    """

    def __init__(self, count: int, death: Death, *, seed: int = 0) -> None:
        """Members compute for about 0.3 s, and messages take 1 to 50 ms."""
        self.death = death
        self.died_at: float | None = None
        super().__init__(
            count,
            steps=death.step + 3,
            seed=seed,
            rules=PATIENT,
            peer_type=partial(_Member, self),
            conditions=NetworkConditions(delay=(0.001, 0.05)),
        )
        luck = random.Random(seed)
        for peer in self.peers:
            peer.compute_seconds = luck.uniform(0.24, 0.375)
        self.lived = [peer for place, peer in enumerate(self.peers) if place not in death.peers]

    def is_time(self, peer: SimulatedPeer, step: int, moment: int) -> bool:
        """Whether a peer dies now."""
        death = self.death
        if self.died_at is not None or peer is not self.peers[death.peers[0]]:
            return False
        if step != death.step or moment < death.moment:
            return False
        self.died_at = self.network.now
        for place in death.peers[1:]:
            self.network.at(self.network.now + death.apart_seconds, self.peers[place].crash)
        return True

    @property
    def stood_seconds(self) -> float:
        """The longest time in which one of the others finished no step, from the first death on."""
        assert self.died_at is not None
        longest = 0.0
        for peer in self.lived:
            assert isinstance(peer, _Member)
            later = [at for at in peer.finished_at if at > self.died_at]
            longest = max([longest, *(b - a for a, b in zip([self.died_at, *later], later, strict=False))])
        return longest

    def check(self) -> None:
        """Assert that the others have gone on together, without anybody else left out."""
        self.check_agreement()
        living = {peer.peer_id for peer in self.lived}
        for peer in self.lived:
            assert peer.stopped is None, (self.death, self.seed, peer.stopped)
            assert not suspended(peer) & living, (self.death, self.seed, peer.history)


class _Member(SimulatedPeer):
    """Does one thing after the other, until its time has come."""

    def __init__(self, swarm: MortalSwarm, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._swarm = swarm
        self._step, self._moment = -1, 0
        self.finished_at: list[float] = []

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            for one in one_by_one(action):
                if self.crashed:
                    return
                super().perform([one])
                if not self.crashed and self._swarm.is_time(self, *self._count()):
                    self.crash()
        if not self.crashed:
            super().perform([])  # looks when it is to be called again

    def _count(self) -> tuple[int, int]:
        step = -1 if self.session.roster is None else self.session.roster.step
        self._moment = self._moment + 1 if step == self._step else 0
        self._step = step
        return step, self._moment

    def note(self, event: Finished | Stopped | Voided) -> None:
        super().note(event)
        if isinstance(event, Finished):
            self.finished_at.append(self.network.now)
