"""The states at the manifest's steps, held until the coordinator has stored them: two in memory, others on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from btard.durable import write_durably
from btard.identity import Malformed
from btard.peer.keeping.record import KeptState
from btard.swarm.questions import MAX_SNAPSHOTS
from btard.swarm.records.record import RosterRecord

logger = logging.getLogger(__name__)

IN_MEMORY = 2
"""States that are held in memory; older ones are on the disk."""

MOST_BYTES = 4 << 30
"""Bytes of the states on the disk; of more the oldest go."""

LOOK_SECONDS = 5.0
"""Seconds between two looks at what is stored, while something may not be."""

_PATTERN = "step-*.state"


class HeldStates:
    """Holds states, and lets go of those that are stored. Those of earlier starts are held, too.

    Attributes:
        digests: of what is held, by step, ascending.
    """

    def __init__(self, folder: Path, run: bytes, last_step: int) -> None:
        """Look at what is there already.

        Args:
            run: 16 bytes; files of other runs are left alone.
            last_step: the state before it, after the run's last step, is written to the disk at once.
        """
        self._folder = folder
        self._run = run
        self._last_step = last_step
        self._memory: dict[int, KeptState] = {}
        self._sizes: dict[int, int] = {}
        self._stored = -1
        self.digests: dict[int, bytes] = {}
        for path in sorted(folder.glob(_PATTERN)) if folder.is_dir() else ():
            kept = self._read(path)
            if kept is not None:
                self._sizes[kept.roster.step] = path.stat().st_size
                self.digests[kept.roster.step] = kept.digest

    def path(self, step: int) -> Path:
        """Return the file of the state before a step, which is there once it is on the disk."""
        return self._folder / f"step-{step:012d}.state"

    def where(self, step: int) -> str:
        """Return where the state before a step is, in words."""
        return f"in {self.path(step)}" if step in self._sizes else "in this peer's memory"

    def _read(self, path: Path) -> KeptState | None:
        try:
            kept = KeptState.decode(path.read_bytes())
        except (OSError, Malformed) as error:
            logger.warning("leaving %s out: %s", path, error)
            return None
        return kept if kept.run == self._run and path == self.path(kept.roster.step) else None

    async def hold(self, kept: KeptState) -> None:
        """Hold a state."""
        step = kept.roster.step
        self.go_back(step)
        self._memory[step], self.digests[step] = kept, kept.digest
        for old in sorted(self._memory)[:-IN_MEMORY]:
            if old <= self._stored:
                self._let_go(old)
                continue
            await self._write(old)
            self._memory.pop(old, None)
        if step == self._last_step:
            await self._write(step)
        self._keep_within_bounds()

    def go_back(self, step: int) -> None:
        """This peer comes to a step: states of it and of later ones are of a past that is lost."""
        for later in [held for held in self.digests if held >= step]:
            self._let_go(later)

    async def _write(self, step: int) -> None:
        data = self._memory[step].encode()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._write_now, self.path(step), data)
            self._sizes[step] = len(data)
        except OSError as error:
            self._give_up(step, f"it cannot be written to {self._folder}: {error.strerror}")

    def _write_now(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)

    def _give_up(self, step: int, reason: str) -> None:
        if step == self._last_step:  # it stays in memory, as long as this peer runs
            logger.error("the state after the last step is in memory only: %s", reason)
            return
        logger.warning("this peer does not hold the state before step %d any more: %s", step, reason)
        self._let_go(step)

    def _keep_within_bounds(self) -> None:
        while len(self.digests) > MAX_SNAPSHOTS or (len(self._sizes) > 1 and sum(self._sizes.values()) > MOST_BYTES):
            self._give_up(min(self.digests), "the coordinator has not stored it, and there are too many")

    async def load(self, step: int) -> bytes | None:
        """Return the state before a step, serialised, None if it is not held."""
        held = self._memory.get(step)
        if held is None and step in self._sizes:
            held = await asyncio.get_running_loop().run_in_executor(None, self._read, self.path(step))
            if held is None or held.digest != self.digests.get(step):
                self._let_go(step)
                return None
        return None if held is None else held.state

    def release(self, stored: int) -> None:
        """The coordinator has stored all states up to this step. Those in memory stay until newer ones come."""
        self._stored = max(self._stored, stored)
        for step in [step for step in self._sizes if step <= self._stored]:
            self._remove_file(step)
            if step not in self._memory:
                self.digests.pop(step, None)

    @property
    def waits(self) -> bool:
        """Whether something is held that may not be stored."""
        return any(step > self._stored for step in self.digests)

    async def run(self, look: Callable[[], Awaitable[RosterRecord | None]]) -> None:
        """Let go of what is stored, until cancelled.

        Args:
            look: returns the newest that the coordinator has signed.
        """
        while True:
            if self.waits:
                record = await look()
                if record is not None:
                    self.release(record.stored)
            await asyncio.sleep(LOOK_SECONDS)

    def _let_go(self, step: int) -> None:
        self._remove_file(step)
        self._memory.pop(step, None)
        self.digests.pop(step, None)

    def _remove_file(self, step: int) -> None:
        if self._sizes.pop(step, None) is not None:
            self.path(step).unlink(missing_ok=True)
