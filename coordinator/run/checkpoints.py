"""Saves the swarm's state at the manifest's steps, believed only as more than half of the roster gives its digest.

Members hold such a state until this coordinator says that it is stored, so there is time: what cannot be had or written
now is tried again, and what is given up is named.
"""

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
from btard.swarm.events.coordinator import CheckpointDelayed, CheckpointMissed, CheckpointSaved, CoordinatorEvent
from btard.swarm.events.log import EventLog
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head, Question, Want
from btard.swarm.state_sync import state_digest
from btard.tasks.training_state import TrainingState

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
"""Downloads that failed after which a checkpoint is given up."""

RETRY_SECONDS = 2.0
"""Seconds before another attempt at the same checkpoint."""

DISK_RETRY_SECONDS = 5.0
"""Seconds before another attempt to write."""

UNOFFERED_SECONDS = 60.0
"""Seconds after which a checkpoint is given up that most members answer about, and fewer than most hold."""

_TELL_SECONDS = 60.0
_BASE_TIMEOUT_SECONDS = 60.0
_SLOWEST = 1 << 20
"""Bytes a second at which a download must come at least."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk; the held-out loss is None when it is not finite."""

    step: int
    digest: bytes
    evaluation_loss: float | None


@dataclass(frozen=True)
class _Offer:
    step: int
    digest: bytes
    sources: list[PeerId]


class CheckpointKeeper:
    """Downloads one checkpoint after the other in the background.

    Attributes:
        saved: the last one that this start of the coordinator saved.
        stored: nobody has to hold the states of the manifest's steps up to this one any more.
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
        self._disk_told = self._waiting_told = -math.inf
        self._unoffered: dict[int, float] = {}
        self._missed: set[int] = set()
        self._limit = state.most_state_bytes
        self.saved: SavedCheckpoint | None = None
        self.stored = manifest.start_step

    def consider(self, trusted: Roster, heads: dict[PeerId, Head]) -> None:
        """Begin to save, the earliest first, all checkpoints that are wanted and that a majority offers, unless some
        are being saved; and give up those that most members do not hold any more.

        Raises:
            Exception: whatever went wrong unexpectedly with those before.
        """
        if self._task is not None:
            if not self._task.done():
                return
            self._task.result()
            self._task = None
        wanted = self._wanted(trusted)
        offers = [offer for step in wanted if (offer := _offer(trusted, heads, step)) is not None]
        self._miss_unoffered(trusted, heads, set(wanted) - {offer.step for offer in offers})
        if offers and time.monotonic() >= self._not_before:
            self._task = asyncio.create_task(self._save_all(offers))

    def is_done(self, trusted: Roster) -> bool:
        """Whether every checkpoint that the swarm has come to is saved, or given up, and nothing is being saved."""
        idle = self._task is None or self._task.done()
        return idle and not self._wanted(trusted)

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

    def _wanted(self, trusted: Roster) -> list[int]:
        """Return the manifest's steps that the swarm has come to and whose state is not on this disk, ascending."""
        last = self._manifest.total_steps
        wanted, through = [], self.stored
        for step in range(self.stored + 1, min(trusted.step, last) + 1):
            open_step = self._manifest.wants_snapshot(step) and not self._directory.has_checkpoint(step)
            if open_step and step not in self._missed:
                wanted.append(step)
            # Of the state after the last step members keep their copies if this coordinator could not have it.
            if not wanted and not (open_step and step == last):
                through = step
        self.stored = through
        return wanted

    def _miss_unoffered(self, trusted: Roster, heads: dict[PeerId, Head], unoffered: set[int]) -> None:
        """Give up what has not been held by most for a while in which most have answered."""
        now = time.monotonic()
        answered = trusted.is_majority(heads)
        if unoffered and not answered and now - self._waiting_told > _TELL_SECONDS:
            self._waiting_told = now
            logger.warning(
                "the checkpoint of step %d waits for more than half of the %d voters: %d answer",
                min(unoffered),
                len(trusted.voters),
                len(trusted.voters & heads.keys()),
            )
        self._unoffered = {step: self._unoffered.get(step, now) for step in unoffered} if answered else {}
        for step, since in sorted(self._unoffered.items()):
            if now - since > UNOFFERED_SECONDS:
                self.miss(step, "most members answer, but fewer than most hold its state")

    async def _save_all(self, offers: list[_Offer]) -> None:
        for offer in offers:
            if not await self._save(offer):
                return

    async def _save(self, offer: _Offer) -> bool:
        """Return whether the next one may be tried at once."""
        step = offer.step
        timeout = _BASE_TIMEOUT_SECONDS + self._limit / _SLOWEST
        question = Question(want=Want.SNAPSHOT, step=step)
        try:
            source = await self._network.download(
                offer.sources, question, self._load, offer.digest, limit=self._limit, timeout_seconds=timeout
            )
            if source is None:
                self._failed(step, "no peer served the state that the majority names")
                return True
            evaluation = await asyncio.to_thread(self._write, step)
        except OSError as error:
            self._cannot_write(step, f"it cannot be written: {error.strerror}")
            return False
        loss = evaluation if math.isfinite(evaluation) else None
        self.saved = SavedCheckpoint(step, offer.digest, loss)
        folder = self._directory.checkpoint(step)
        logger.info("checkpoint of step %d: held-out loss %.4f, in %s", step, evaluation, folder)
        self._log.write(
            CheckpointSaved(
                step=step, digest=offer.digest.hex(), evaluation_loss=loss, folder=str(folder), source=str(source)
            )
        )
        return True

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

    def _cannot_write(self, step: int, reason: str) -> None:
        """A disk that takes nothing is waited for: the members hold the state meanwhile."""
        now = time.monotonic()
        self._not_before = now + DISK_RETRY_SECONDS
        if now - self._disk_told > _TELL_SECONDS:
            self._disk_told = now
            logger.error("checkpoint of step %d: %s; the members hold it until it can be: make room", step, reason)
            self._log.write(CheckpointDelayed(step=step, reason=reason))

    def _failed(self, step: int, reason: str) -> None:
        self._attempts[step] += 1
        self._not_before = time.monotonic() + RETRY_SECONDS
        logger.warning("checkpoint of step %d: %s (attempt %d)", step, reason, self._attempts[step])
        if self._attempts[step] >= MAX_ATTEMPTS:
            self.miss(step, reason)


def _offer(trusted: Roster, heads: dict[PeerId, Head], step: int) -> _Offer | None:
    """Return what a majority says of the state before a step, if one of them serves it."""
    digest = state_digest(trusted, heads, step)
    sources = _sources(trusted, heads, step, digest) if digest is not None else []
    return _Offer(step, digest, sources) if digest is not None and sources else None


def _sources(trusted: Roster, heads: dict[PeerId, Head], step: int, digest: bytes) -> list[PeerId]:
    """Return the members that keep the snapshot, beginning with another member at each step to spread the load."""
    keepers = [peer for peer in trusted.members if _keeps(heads.get(peer), step, digest)]
    turn = step % len(keepers) if keepers else 0
    return keepers[turn:] + keepers[:turn]


def _keeps(head: Head | None, step: int, digest: bytes) -> bool:
    snapshots: Iterable[tuple[int, bytes]] = head.snapshots if head is not None else ()
    return (step, digest) in snapshots
