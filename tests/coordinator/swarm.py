"""A swarm in memory: records, heads and states that tests set, in the place of the coordinator's network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.roster import Roster, first_randomness
from btard.swarm.lineage import ChainLink
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head, Knock, Question
from btard.swarm.records.record import MAX_REPORTS, Join, LocalMetrics, Metrics
from btard.transport.base import PeerAddress
from btard.transport.libp2p import RecordError

FINGERPRINT = "ab" * 32
MADDR = "/ip4/127.0.0.1/tcp/1"


def identity(number: int) -> IdentityKey:
    """The key of a numbered peer."""
    return IdentityKey.from_seed(number.to_bytes(32, "big"))


def ids(*numbers: int) -> tuple[PeerId, ...]:
    """The ids of numbered peers, ascending."""
    return tuple(sorted(identity(number).peer_id for number in numbers))


def manifest(**changes: Any) -> RunManifest:
    """A small run."""
    fields: dict[str, Any] = {
        "nonce": "11" * 16,
        "experiment": "test",
        "task": "digits",
        "size": "tiny",
        "data": {},
        "fingerprint": FINGERPRINT,
        "dimension": 10,
        "batch_size": 4,
        "learning_rate": 0.1,
        "warmup_steps": 0,
        "total_steps": 100,
        "max_grad_norm": 1.0,
        "precision": "none",
        "rule": "mean",
        "tau": 1.0,
        "wire": "float32",
        "peers": 2,
        "deadlines": {},
        "seed": 7,
    }
    return RunManifest.of(fields | changes)


def settings(directory: Path, **changes: Any) -> CoordinatorSettings:
    """Settings of a short run of digits."""
    fields = {"experiment": "test", "directory": directory, "task": "digits", "total_steps": 20, "peers": 2}
    return CoordinatorSettings.model_validate(fields | changes)


def knock(of: RunManifest, **changes: Any) -> Knock:
    """What a peer of the run says at the door."""
    fields = {"run": of.run_id, "protocol": of.protocol, "fingerprint": of.fingerprint, "maddrs": [MADDR]}
    return Knock.model_validate(fields | changes)


def roster(step: int, *numbers: int, banned: Iterable[int] = ()) -> Roster:
    """A roster of numbered peers."""
    return Roster(step, ids(*numbers), frozenset(ids(*banned)), first_randomness(7, step))


def head(where: Roster, state: bytes = bytes(32), *snapshots: tuple[int, bytes]) -> Head:
    """The head of a peer that stands there."""
    return Head(where, state, snapshots)


def metrics(step: int, *, loss: float | None = 1.0, rate: float = 10.0) -> LocalMetrics:
    """A peer's report."""
    return LocalMetrics(step=step, samples_per_second=rate, samples_accumulated=step * 4, loss=loss, mini_steps=1)


class MemoryNetwork:
    """Implements `btard.coordinator.network.network.SwarmNetwork`."""

    def __init__(self, run: RunManifest) -> None:
        self.run = run
        self.records: dict[MessageKind, dict[PeerId, Envelope]] = {}
        self.standing: dict[PeerId, Head] = {}
        self.unreachable: set[PeerId] = set()
        self.states: dict[tuple[PeerId, int], bytes] = {}
        self.dialled: list[PeerId] = []
        self.failing = 0
        self.evidence_files: dict[PeerId, bytes] = {}
        self.published = asyncio.Event()
        self.remembered: dict[PeerId, list[LocalMetrics]] = {}
        self.shown_chains: dict[PeerId, tuple[ChainLink, ...]] = {}
        self.told: dict[PeerId, tuple[str, ...]] = {}
        self.linked: set[PeerId] | None = None
        self.asked: list[dict[PeerId, int]] = []

    def join(self, number: int) -> PeerId:
        """Let a peer announce itself."""
        record = Join(fingerprint=FINGERPRINT, maddrs=[MADDR], time=time.time())
        return self.put(record.sign(identity(number), self.run.run, MessageKind.JOIN))

    def report(self, number: int, *steps: LocalMetrics) -> PeerId:
        """Let a peer publish metrics."""
        record = Metrics(steps=list(steps))
        return self.put(record.sign(identity(number), self.run.run, MessageKind.METRICS))

    def put(self, envelope: Envelope) -> PeerId:
        """Store a record."""
        self.records.setdefault(envelope.kind, {})[envelope.author] = envelope
        return envelope.author

    def stand(self, where: Head, *numbers: int) -> None:
        """Let peers stand somewhere."""
        for peer in ids(*numbers):
            self.standing[peer] = where

    def keep(self, step: int, digest: bytes, data: bytes, *numbers: int) -> None:
        """Let peers keep a snapshot."""
        for peer in ids(*numbers):
            self.states[peer, step] = data
            old = self.standing[peer]
            self.standing[peer] = replace(old, snapshots=(*old.snapshots, (step, digest)))

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        if self.failing:
            self.failing -= 1
            raise RecordError("no node stored the record")
        self.put(envelope)
        self.published.set()

    async def read(self, run: bytes, kind: MessageKind, authors: Iterable[PeerId]) -> dict[PeerId, Envelope]:
        found = self.records.get(kind, {})
        return {author: found[author] for author in authors if author in found}

    async def heads(self, peers: Iterable[PeerId]) -> dict[PeerId, Head]:
        return {peer: self.standing[peer] for peer in peers if peer in self.standing}

    async def reach(self, address: PeerAddress) -> str | None:
        self.dialled.append(address.peer_id)
        return "no route" if address.peer_id in self.unreachable else None

    async def call(self, peer: PeerId) -> str | None:
        self.dialled.append(peer)
        return "no route" if peer in self.unreachable else None

    async def connected(self) -> set[PeerId] | None:
        return self.linked

    async def evidence(self, source: PeerId, banned: PeerId) -> bytes | None:
        """What `self.evidence_files` holds for a banned peer, whichever member is asked."""
        return self.evidence_files.get(banned)

    async def addresses(self, peer: PeerId) -> Mapping[PeerId, tuple[str, ...]]:
        """What `self.told` holds, whichever member is asked."""
        return self.told

    async def chains(self, peers: Iterable[PeerId]) -> list[tuple[ChainLink, ...]]:
        """What `self.shown_chains` holds of those that are asked."""
        return [self.shown_chains[peer] for peer in peers if peer in self.shown_chains]

    async def reports(self, since: Mapping[PeerId, int]) -> dict[PeerId, list[LocalMetrics]]:
        """The earliest of what `self.remembered` holds, as many as a peer answers with."""
        self.asked.append(dict(since))
        return {
            peer: [report for report in self.remembered[peer] if report.step >= step][:MAX_REPORTS]
            for peer, step in since.items()
            if peer in self.remembered
        }

    async def download(
        self,
        sources: Sequence[PeerId],
        question: Question,
        load: Callable[[bytes], Awaitable[bytes]],
        expected: bytes,
        *,
        limit: int,
        timeout_seconds: float,
    ) -> PeerId | None:
        for peer in sources:
            data = self.states.get((peer, question.step))
            if data is None or len(data) > limit:
                continue
            try:
                if await load(data) == expected:
                    return peer
            except UserError:
                continue
        return None


async def until(condition: Callable[[], Any], timeout: float = 20.0) -> None:
    """Wait until the condition holds; TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - conditions are about other tasks and processes, which set no event
            await asyncio.sleep(0.01)
