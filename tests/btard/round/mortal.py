"""Simulated peers that die at a chosen moment of a step, as a machine does that loses its power; or that stand still,
or lose their connections, for a while."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Any

from btard.identity import PeerId
from btard.round.actions import Action, Finished, OutcomeKind, Stopped, Voided
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.virtual import Arrival
from tests.btard.round.swarm import RULES, Swarm, one_by_one, suspended, verdicts

PATIENT = replace(
    RULES,
    commit_seconds=120.0,
    scatter_seconds=60.0,
    gather_seconds=60.0,
    agree_seconds=20.0,
    delay_bound_seconds=5.0,
)
"""The deadlines of a coordinator that is told nothing else: what they decide takes minutes."""


class Fate(Enum):
    """What becomes of a member."""

    DIES = auto()
    """It says nothing any more."""
    STANDS = auto()
    """It stands still for a while, as after SIGSTOP: what comes waits for it, and its own clock does."""
    IS_CUT_OFF = auto()
    """Its connections are lost for a while, as when its p2pd dies: what it says and what is said to it is lost."""


@dataclass(frozen=True)
class Death:
    """Which members die, or are away for a while, and when.

    Attributes:
        peers: their places in the first roster; the first one dies at the moment, the others soon after.
        step: in which it does.
        moment: how many things the first one still does in that step: each message to one receiver counts, and each
            event that makes it do something.
        apart_seconds: until the others die.
        fate: of all of them.
        away_seconds: for how long one stands still, or is cut off.
    """

    peers: tuple[int, ...]
    step: int
    moment: int
    apart_seconds: float = 0.0
    fate: Fate = Fate.DIES
    away_seconds: float = 0.0


class _Waits(Network):
    """A network in which what comes for a peer that stands still waits for it."""

    def _arrive(self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival) -> None:
        for receiver in receivers:
            peer = self.peers.get(receiver)
            if isinstance(peer, _Member) and self.now < peer.stands_until:
                self.at(peer.stands_until, partial(super()._arrive, sender, (receiver,), arrive))
            else:
                super()._arrive(sender, (receiver,), arrive)


class _OwnClock:
    """The network as one peer sees it: what that peer has planned waits while it stands still."""

    def __init__(self, network: Network, peer: _Member) -> None:
        self._network, self._peer = network, peer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def at(self, when: float, event: Callable[[], None]) -> None:
        def happen() -> None:
            if self._network.now < self._peer.stands_until:
                self._network.at(self._peer.stands_until, happen)
            else:
                event()

        self._network.at(when, happen)


class MortalSwarm(Swarm):
    """A swarm of honest peers of which some die.

    Attributes:
        died_at: when the first one did, None if its moment has not come.
        lived: the others.
    """

    network_type = _Waits

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
            self.network.at(self.network.now + death.apart_seconds, partial(self.strike, self.peers[place]))
        return True

    def strike(self, peer: SimulatedPeer) -> None:
        """A peer meets its fate."""
        assert isinstance(peer, _Member)
        death, back = self.death, self.network.now + self.death.away_seconds
        match death.fate:
            case Fate.DIES:
                peer.crash()
            case Fate.STANDS:
                peer.stands_until = back
            case Fate.IS_CUT_OFF:
                self.network.partition([self.peers[place].peer_id for place in death.peers])
                self.network.at(back, self.network.partition)

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
        """Assert that the others have gone on together, without anybody else left out, or banned; and that one that was
        away has done so, too, or knows that it has lost its place."""
        self._check_those_away()
        self.check_agreement()
        living = {peer.peer_id for peer in self.lived}
        for peer in self.lived:
            assert peer.stopped is None, (self.death, self.seed, peer.stopped)
            assert not suspended(peer) & living, (self.death, self.seed, peer.history)
            assert not verdicts(peer), (self.death, self.seed, peer.history)

    def _check_those_away(self) -> None:
        """One that was away for longer than the bound on delay may have finished a step that the others repeat, but
        goes no further."""
        for peer in (self.peers[place] for place in self.death.peers):
            if peer.crashed:
                continue
            assert peer.stopped is None or peer.stopped.kind is not OutcomeKind.BANNED, (self.death, peer.stopped)
            common = {result.step: bytes(result.flat) for result in self.lived[0].finished()}
            unlike = [result.step for result in peer.finished() if bytes(result.flat) != common.get(result.step)]
            if unlike:
                held_up = self.death.away_seconds > self.rules.delay_bound_seconds
                assert held_up and peer.stopped is not None, (self.death, self.seed, unlike)
                assert unlike == [peer.finished()[-1].step], (self.death, self.seed, unlike)
                peer.crashed = True  # it comes back to what the others hold


class _Member(SimulatedPeer):
    """Does one thing after the other, until its time has come."""

    def __init__(self, swarm: MortalSwarm, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._swarm = swarm
        self._step, self._moment = -1, 0
        self.stands_until = 0.0
        self.finished_at: list[float] = []
        self.network = _OwnClock(self.network, self)  # type: ignore[assignment]

    def perform(self, actions: Sequence[Action]) -> None:
        ones = [one for action in actions for one in one_by_one(action)]
        for place, one in enumerate(ones):
            if self.crashed:
                return
            if self.network.now < self.stands_until:
                self.network.at(self.stands_until, partial(self.perform, ones[place:]))
                return
            super().perform([one])
            if not self.crashed and self._swarm.is_time(self, *self._count()):
                self._swarm.strike(self)
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
