"""Saves the swarm's state at the manifest's steps, believed only as more than half of the roster gives its digest."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue

from btard.coordinator.network.network import SwarmNetwork
from btard.coordinator.run_directory import RunDirectory
from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import PeerId
from btard.round.roster import Roster
from btard.swarm.events.coordinator import CheckpointMissed, CheckpointSaved, CoordinatorEvent
from btard.swarm.events.log import EventLog
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head, Question, Want
from btard.swarm.state_sync import state_digest
from btard.tasks.training_state import TrainingState

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Failed attempts after which a checkpoint is given up."""

RETRY_SECONDS = 2.0
"""Seconds before another attempt at the same checkpoint."""

_BASE_TIMEOUT_SECONDS = 60.0
_SLOWEST = 1 << 20
"""Bytes a second at which a download must come at least."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk; the held-out loss is None when it is not finite."""

    step: int
    digest: bytes
    evaluation_loss: float | None


class CheckpointKeeper:
    """Downloads one checkpoint at a time in the background.

    Attributes:
        saved: the last one that this start of the coordinator saved.
    """

    def __init__(
        self,
        network: SwarmNetwork,
        manifest: RunManifest,
        state: TrainingState,
        directory: RunDirectory,
        log: EventLog[CoordinatorEvent],
    ) -> None:
        """`state` is the keeper's own from now on."""
        self._network = network
        self._manifest = manifest
        self._state = state
        self._directory = directory
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._attempts: Counter[int] = Counter()
        self._not_before = 0.0
        self._missed: set[int] = set()
        self._limit = state.most_state_bytes
        self.saved: SavedCheckpoint | None = None

    def consider(self, trusted: Roster, heads: dict[PeerId, Head]) -> None:
        """Begin to save the earliest checkpoint that is wanted and that a majority offers, unless one is being saved.

        Raises:
            Exception: whatever went wrong unexpectedly with the one before.
        """
        if self._task is not None:
            if not self._task.done():
                return
            self._task.result()
            self._task = None
        if time.monotonic() < self._not_before:
            return
        offered: set[int] = set()
        for head in heads.values():
            offered.update(step for step, _ in head.snapshots)
            offered.add(head.roster.step)
        for step in sorted(offered):
            if not self._wants(step):
                continue
            digest = state_digest(trusted, heads, step)
            sources = _sources(trusted, heads, step, digest) if digest is not None else []
            if digest is not None and sources:
                self._task = asyncio.create_task(self._save(step, digest, sources))
                return

    def done_with(self, step: int) -> bool:
        """Whether a checkpoint is saved, or given up, and nothing is being saved."""
        idle = self._task is None or self._task.done()
        return idle and (step in self._missed or self._directory.has_checkpoint(step))

    async def close(self) -> None:
        """Give up what is being saved."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def miss(self, step: int, reason: str) -> None:
        """Give a checkpoint up."""
        if step in self._missed:
            return
        self._missed.add(step)
        logger.error("there will be no checkpoint of step %d: %s", step, reason)
        self._log.write(CheckpointMissed(step=step, reason=reason))

    def _wants(self, step: int) -> bool:
        """Hostile heads name any step; those of the manifest are few."""
        return (
            step <= self._manifest.total_steps
            and self._manifest.wants_snapshot(step)
            and step not in self._missed
            and not self._directory.has_checkpoint(step)
        )

    async def _save(self, step: int, digest: bytes, sources: list[PeerId]) -> None:
        timeout = _BASE_TIMEOUT_SECONDS + self._limit / _SLOWEST
        question = Question(want=Want.SNAPSHOT, step=step)
        source = await self._network.download(
            sources, question, self._load, digest, limit=self._limit, timeout_seconds=timeout
        )
        if source is None:
            self._failed(step, "no peer served the state that the majority names")
            return
        try:
            evaluation = await asyncio.to_thread(self._write, step)
        except OSError as error:
            self._failed(step, f"it cannot be written: {error.strerror}")
            return
        loss = evaluation if math.isfinite(evaluation) else None
        self.saved = SavedCheckpoint(step, digest, loss)
        folder = self._directory.checkpoint(step)
        logger.info("checkpoint of step %d: held-out loss %.4f, in %s", step, evaluation, folder)
        self._log.write(
            CheckpointSaved(
                step=step, digest=digest.hex(), evaluation_loss=loss, folder=str(folder), source=str(source)
            )
        )

    async def _load(self, data: Payload) -> bytes:
        return await asyncio.to_thread(self._load_now, data)

    def _load_now(self, data: Payload) -> bytes:
        try:
            self._state.load_state_bytes(data)
        except Exception as error:  # a stranger's bytes: whatever they provoke is that stranger's failure
            raise UserError(f"its state cannot be loaded: {error}") from error
        return self._state.digest()

    def _write(self, step: int) -> float:
        evaluation = self._state.evaluate()
        extra: dict[str, JsonValue] = {
            "experiment": self._manifest.experiment,
            "run_id": self._manifest.run_id,
            "evaluation_loss": evaluation if math.isfinite(evaluation) else None,
        }
        self._state.save_checkpoint(self._directory.checkpoint(step), step, extra)
        return evaluation

    def _failed(self, step: int, reason: str) -> None:
        self._attempts[step] += 1
        self._not_before = time.monotonic() + RETRY_SECONDS
        logger.warning("checkpoint of step %d: %s (attempt %d)", step, reason, self._attempts[step])
        if self._attempts[step] >= MAX_ATTEMPTS:
            self.miss(step, reason)


def _sources(trusted: Roster, heads: dict[PeerId, Head], step: int, digest: bytes) -> list[PeerId]:
    """Return the members that keep the snapshot, beginning with another member at each step to spread the load."""
    keepers = [peer for peer in trusted.members if _keeps(heads.get(peer), step, digest)]
    turn = step % len(keepers) if keepers else 0
    return keepers[turn:] + keepers[:turn]


def _keeps(head: Head | None, step: int, digest: bytes) -> bool:
    snapshots: Iterable[tuple[int, bytes]] = head.snapshots if head is not None else ()
    return (step, digest) in snapshots
