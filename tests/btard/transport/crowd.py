"""Peers that take whole steps in one event loop, over a transport that may lose things."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import torch

from benchmarks.given import ShowingNothing
from btard.behaviour import Behaviour
from btard.executor import Executor, TimeLeft
from btard.exhibits import Exhibit, Fits
from btard.hashing import Payload, digest
from btard.identity import IdentityKey, PeerId
from btard.round.actions import Examine, Finished, Stopped, Voided
from btard.round.attempt.attempt import Attempt
from btard.round.roster import Roster, first_randomness
from btard.round.rules import AggregationRules, StepRules
from btard.round.session import Session
from btard.round.work.examination import Finding
from btard.trainer import Contribution
from btard.transport.driver import SessionDriver, in_worker
from btard.transport.vector_trainer import VectorTrainer
from btard.vectors.momentum import Link
from tests.btard.round.swarm import RULES

STATE = digest(b"state")
PATIENT = dataclasses.replace(
    RULES, commit_seconds=20.0, scatter_seconds=10.0, gather_seconds=10.0, agree_seconds=5.0, delay_bound_seconds=2.0
)
HASTY = dataclasses.replace(
    RULES, commit_seconds=0.5, scatter_seconds=0.3, gather_seconds=0.3, agree_seconds=0.2, delay_bound_seconds=0.1
)


@dataclass
class LoopTransport:
    """Delivers within one event loop, each thing in its own turn of it; `lost` things never arrive."""

    peer_id: PeerId
    inboxes: dict[PeerId, SessionDriver]
    lost: Callable[[PeerId, PeerId, bytes], bool]

    def send(self, peer: PeerId, data: bytes) -> None:
        self._later(peer, data, lambda inbox: inbox.on_message(self.peer_id, data))

    def send_part(self, peer: PeerId, header: bytes, payload: Payload) -> None:
        def arrive(inbox: SessionDriver) -> None:
            buffer = inbox.accept_part(self.peer_id, header, len(payload))
            if buffer is not None:
                buffer[:] = payload
                inbox.on_part(self.peer_id, header, buffer, digest(buffer))

        self._later(peer, header, arrive)

    def _later(self, peer: PeerId, said: bytes, arrive: Callable[[SessionDriver], None]) -> None:
        if peer in self.inboxes and not self.lost(self.peer_id, peer, said):
            asyncio.get_running_loop().call_soon(lambda: arrive(self.inboxes[peer]))


Contributing = Callable[[], Awaitable[Contribution]]


class CrowdMaterial(ShowingNothing):
    """Nobody shows anything of its own, but all ask each other."""

    def __init__(self, crowd: Crowd, me: PeerId) -> None:
        self.crowd, self.me = crowd, me

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> None:
        for accuser in accusers:
            assert await self.crowd.drivers[accuser].shows(self.me, what, target, step) is None


class CrowdExecutor(Executor):
    """What a peer of a crowd computes is given, and so is what others had to."""

    contributing: Contributing

    def __init__(self, crowd: Crowd, me: PeerId) -> None:
        trainer = VectorTrainer(lambda seed, parameters: parameters, torch.empty(0))
        super().__init__(crowd.rules, me, Behaviour(), trainer, CrowdMaterial(crowd, me), in_worker(crowd.worker))
        self.crowd = crowd

    async def contribution(self, roster: Roster) -> Contribution:
        return await self.contributing()

    async def required(
        self, record: Attempt, task: Examine, time_left: TimeLeft, *, continuing: bool = True
    ) -> torch.Tensor | None:
        if self._rules.verification.momentum:
            await self._shown(Exhibit.BASE, record, task, anything, time_left)
        return await self.crowd.recompute(record, task.target, task.link)


@dataclass
class Watcher:
    """Keeps what it is told."""

    voided: list[Voided]
    examined: list[tuple[int, PeerId, Finding]]

    def on_voided(self, event: Voided) -> None:
        self.voided.append(event)

    def on_examined(self, step: int, target: PeerId, finding: Finding) -> None:
        self.examined.append((step, target, finding))


@dataclass
class Crowd:
    """Peers in one event loop, with one worker thread for all."""

    keys: list[IdentityKey]
    worker: ThreadPoolExecutor
    rules: StepRules = PATIENT
    lost: Callable[[PeerId, PeerId, bytes], bool] = lambda sender, receiver, data: False
    drivers: dict[PeerId, SessionDriver] = field(default_factory=dict)
    voided: dict[PeerId, list[Voided]] = field(default_factory=dict)
    charged: dict[PeerId, Counter[PeerId]] = field(default_factory=dict)
    executors: dict[PeerId, CrowdExecutor] = field(default_factory=dict)
    examined: list[tuple[int, PeerId, Finding]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recomputed: list[PeerId] = []
        members = tuple(key.peer_id for key in self.keys)
        self.roster = Roster(0, members, frozenset(), first_randomness(0, 0))
        aggregation = AggregationRules("mean", 1.0, len(members))
        self.rules = dataclasses.replace(self.rules, aggregation=aggregation)
        for key in self.keys:
            peer = key.peer_id
            self.executors[peer] = CrowdExecutor(self, peer)
            driver = self.drivers[peer] = SessionDriver(
                Session(self.rules, key, Behaviour()),
                LoopTransport(peer, self.drivers, lambda *ends: self.lost(*ends)),
                self.executors[peer],
                charge=partial(self._charge, self.charged.setdefault(peer, Counter())),
            )
            driver.attach(Watcher(self.voided.setdefault(peer, []), self.examined))

    def _charge(self, charged: Counter[PeerId], peer: PeerId, seconds: float) -> None:
        assert seconds >= 0
        charged[peer] += 1

    def gradient(self, peer: PeerId, roster: Roster) -> torch.Tensor:
        return torch.full((RULES.dimension,), float(self.roster.members.index(peer) + roster.step))

    @property
    def momentum(self) -> bytes:
        """What everyone commits to where the run has momentum."""
        return digest(b"momentum") if self.rules.verification.momentum else b""

    async def recompute(self, record: Attempt, target: PeerId, link: Link | None) -> torch.Tensor | None:
        self.recomputed.append(target)
        return self.gradient(target, record.seats.roster)

    async def run(self, peer: PeerId, roster: Roster, contributing: Contributing | None = None) -> Finished | Stopped:
        """Let one peer take a step, with its own gradient or in another way."""
        made = contributing or ready(self.gradient(peer, roster), self.momentum)
        self.executors[peer].contributing = made
        return await self.drivers[peer].run_step(roster, STATE)

    async def step(self, roster: Roster, *absent: PeerId) -> list[Finished | Stopped]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*(self.run(peer, roster) for peer in roster.members if peer not in absent))


def ready(vector: torch.Tensor, momentum: bytes = b"") -> Contributing:
    async def contribution() -> Contribution:
        return Contribution(vector, momentum)

    return contribution


async def anything(data: bytes) -> bool:
    return True


async def never() -> Contribution:
    return await asyncio.get_running_loop().create_future()


def finished(outcome: Finished | Stopped) -> Finished:
    assert isinstance(outcome, Finished), outcome
    return outcome
