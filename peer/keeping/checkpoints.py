"""The training states that a peer keeps in a folder: the newest two, and every n-th; and the minutes that lead on from
one of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from btard.durable import force_names, write_durably
from btard.identity import Malformed
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.minutes import KeptMinutes
from btard.peer.keeping.record import KeptState
from btard.reunion.messages import Place
from btard.round.roster import Roster

logger = logging.getLogger(__name__)

NEWEST = 2
"""States that are always kept."""

_PATTERN = "step-*.state"
_MINUTES = "minutes"


class Checkpoints:
    """Writes states in the background, and reads those of earlier starts.

    Attributes:
        places: what is kept, newest first; a file that is damaged is not among them.
        rosters: of these places.
    """

    def __init__(self, folder: Path, run: bytes, cadence: Cadence, keep_every: int) -> None:
        """Look at what is there already.

        Args:
            run: 16 bytes; files of other runs are left alone.
            keep_every: of the older states those at multiples of so many steps stay, 0 for none.
        """
        self._folder = folder
        self._run = run
        self._cadence = cadence
        self._keep_every = keep_every
        self._files: dict[Place, Path] = {}
        self.rosters: dict[Place, Roster] = {}
        self._writing: asyncio.Task[None] | None = None
        self._writing_minutes: asyncio.Task[None] | None = None
        self._complains = True
        self._newest_step = -1
        self._state_seconds = 0.0
        for path in sorted(folder.glob(_PATTERN)) if folder.is_dir() else ():
            kept = self._read(path)
            if kept is not None:
                self._take(kept, path)

    @property
    def places(self) -> list[Place]:
        """What is kept, newest first."""
        return sorted(self._files, reverse=True)

    def _read(self, path: Path) -> KeptState | None:
        try:
            kept = KeptState.decode(path.read_bytes())
        except (OSError, Malformed) as error:
            logger.warning("leaving %s out: %s", path, error)
            return None
        return kept if kept.run == self._run else None

    async def load(self, place: Place) -> KeptState | None:
        """Return a state that is kept, None where it is not there any more, or damaged by now."""
        path = self._files.get(place)
        kept = None if path is None else await asyncio.to_thread(self._read, path)
        if kept is None or kept.place != place:
            self._forget(place)
            return None
        return kept

    def step_took(self, seconds: float) -> None:
        """A step has taken so long."""
        self._cadence.took(seconds)

    async def consider(self, step: int, make: Callable[[], Awaitable[KeptState]]) -> None:
        """Keep the state before a step if it is time to: what `make` returns, which is waited for; then it is written
        in the background."""
        if not self._cadence.is_due(step) or (self._writing is not None and not self._writing.done()):
            return
        started = time.perf_counter()
        kept = await make()
        self._newest_step = step
        self._writing = asyncio.ensure_future(self._write(kept, started))

    async def _write(self, kept: KeptState, started: float) -> None:
        try:
            # The thread has the disk alone: what is kept is looked up from the event loop at any time.
            await asyncio.to_thread(self._write_file, kept)
            self._note_written(kept)
        except OSError as error:
            self._complain(error)
        self._state_seconds = time.perf_counter() - started
        self._cadence.cost(self._state_seconds)

    def _complain(self, error: OSError) -> None:
        if self._complains:
            logger.error("cannot keep the training state in %s: %s", self._folder, error.strerror)
        self._complains = False

    async def consider_minutes(self, step: int, make: Callable[[], Awaitable[KeptMinutes | None]]) -> None:
        """Keep the minutes of the step before a step if the state before that is kept: they lead on from there. What
        they cost counts as what the state does."""
        busy = self._writing_minutes is not None and not self._writing_minutes.done()
        if self._newest_step != step - 1 or busy:
            return
        started = time.perf_counter()
        kept = await make()
        if kept is not None:
            self._writing_minutes = asyncio.ensure_future(self._write_minutes(kept, started))

    async def _write_minutes(self, kept: KeptMinutes, started: float) -> None:
        try:
            await asyncio.to_thread(self._write_minutes_file, kept)
        except OSError as error:
            self._complain(error)
        self._cadence.cost(self._state_seconds + time.perf_counter() - started)

    def _write_minutes_file(self, kept: KeptMinutes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._folder / _MINUTES, kept.encode())

    async def minutes(self) -> KeptMinutes | None:
        """Return the minutes that are kept, None where there are none of this run that are whole."""
        return await asyncio.to_thread(self._read_minutes)

    def _read_minutes(self) -> KeptMinutes | None:
        path = self._folder / _MINUTES
        try:
            kept = KeptMinutes.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, Malformed) as error:
            logger.warning("leaving %s out: %s", path, error)
            return None
        return kept if kept.run == self._run else None

    def keep(self, kept: KeptState) -> None:
        """Write a state, and let go of those that it makes superfluous; raises OSError."""
        self._write_file(kept)
        self._note_written(kept)

    def _path(self, kept: KeptState) -> Path:
        return self._folder / f"step-{kept.roster.step:012d}.state"

    def _write_file(self, kept: KeptState) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._path(kept), kept.encode())

    def _note_written(self, kept: KeptState) -> None:
        path = self._path(kept)
        for place in [place for place, file in self._files.items() if file == path]:
            self._forget(place)
        self._take(kept, path)
        for place in self.places[NEWEST:]:
            if not self._keep_every or place.step % self._keep_every:
                self._remove(place)

    async def go_back(self, place: Place) -> None:
        """The run goes on from here: states of later steps are of a past that is lost, also one that is being
        written."""
        await self.close()
        for later in [kept for kept in self._files if kept.step > place.step]:
            self._remove(later)
        try:
            lost = await self.minutes()
            if lost is not None and lost.following.step > place.step:
                (self._folder / _MINUTES).unlink(missing_ok=True)
            if self._folder.is_dir():
                force_names(self._folder)
        except OSError as error:
            logger.error("states of steps that are lost may come back in %s: %s", self._folder, error.strerror)

    def _take(self, kept: KeptState, path: Path) -> None:
        self._files[kept.place] = path
        self.rosters[kept.place] = kept.roster

    def _forget(self, place: Place) -> Path | None:
        self.rosters.pop(place, None)
        return self._files.pop(place, None)

    def _remove(self, place: Place) -> None:
        """Remove a file; one that the disk does not let go is not kept any more all the same."""
        path = self._forget(place)
        try:
            if path is not None:
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.error("cannot remove %s: %s", path, error.strerror)

    async def close(self) -> None:
        """Wait until what is being written is on the disk."""
        for writing in (self._writing, self._writing_minutes):
            if writing is not None:
                await asyncio.shield(writing)
