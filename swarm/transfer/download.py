"""Fetches a training state from several peers at once: every chunk is believed by its digest, from any of them."""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import Malformed, PeerId
from btard.outline import Outline, longest
from btard.swarm.questions import Question, Want
from btard.swarm.transfer.arrival import Arrival
from btard.swarm.transfer.progress import Show, display
from btard.transport.libp2p import Busy, FetchError, Libp2pTransport
from btard.transport.libp2p.budget import Budget

logger = logging.getLogger(__name__)

SEATS = 4
"""Peers that are asked at the same time."""

BUSY_SECONDS = 0.5
"""Seconds in which a peer is left alone that has said that it is busy."""

FIRST_PATIENCE_SECONDS = 10.0
"""Seconds after which another peer is asked, too, before it is known how long a chunk takes."""

LEAST_PATIENCE_SECONDS = 2.0
"""Seconds after which another peer is asked at the earliest."""

SLOW = 3.0
"""How many times as long as others a peer may take."""

_TICK_SECONDS = 0.5
_REMEMBERED = 32
_ASKED_A_SECOND, _ASKED_AT_ONCE = 15.0, 256.0
"""Chunks of one peer: fewer than the streams for which it would hang up (`Limits.openings_rate`)."""


class _Outcome(Enum):
    GOOD = auto()
    BUSY = auto()
    BAD = auto()


@dataclass(eq=False)
class _Source:
    """A peer; `knows` once it has shown the right outline."""

    peer: PeerId
    knows: bool = False
    chunks: int = 0
    rests_until: float = -math.inf
    pace: Budget = field(default_factory=lambda: Budget(_ASKED_A_SECOND, _ASKED_AT_ONCE))


@dataclass(eq=False)
class _Request:
    """What a source is asked for: a chunk, or the outline where `index` is None."""

    source: _Source
    index: int | None
    began: float


class Download:
    """One state, from any of the peers that have it.

    A peer whose chunk takes too long is not cut off, but loses its seat to one that waits, which is asked for the same
    chunk; so neither slow nor silent peers hold anything up while there are others.
    """

    def __init__(
        self,
        transport: Libp2pTransport,
        sources: Iterable[PeerId],
        question: Question,
        expected: bytes,
        arriving: Path,
        limit: int,
    ) -> None:
        self._transport = transport
        self._question = question
        self._expected = expected
        self._arriving = arriving
        self._limit = limit
        self._line = deque(_Source(peer) for peer in sources)
        self._sources = list(self._line)
        self._asked: dict[asyncio.Task[_Outcome], _Request] = {}
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._outline: Outline | None = None
        self._opening = asyncio.Lock()
        self.arrival: Arrival | None = None

    @property
    def served(self) -> list[PeerId]:
        """The peers that have shown that they have the state, those first that most chunks came from."""
        useful = [source for source in self._sources if source.knows]
        return [source.peer for source in sorted(useful, key=lambda source: -source.chunks)]

    async def fetch(self, shown: Show, timeout_seconds: float) -> bool:
        """Return whether all chunks are there: False where no source is left that has them, or time is over.

        Raises:
            OSError: the file cannot be written.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.arrival is None or self.arrival.missing:
                    self._fill_seats(timeout_seconds)
                    if not self._asked and not self._line:
                        return False
                    if self._asked:
                        await asyncio.wait(self._asked, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.sleep(BUSY_SECONDS)
                    self._collect()
                    self._show(shown)
            return True
        except TimeoutError:
            logger.warning(
                "the training state is not here within %g s; what has come is kept for the next try", timeout_seconds
            )
            return False
        finally:
            for task in self._asked:
                task.cancel()
            await asyncio.gather(*self._asked, return_exceptions=True)

    def _show(self, shown: Show) -> None:
        if self._outline is None or self.arrival is None:
            return
        ends = (self._outline.chunk(index) for index in self.arrival.missing)
        left = sum(end - start for start, end in ends)
        shown(self._outline.size - left, self._outline.size, len(self._asked))

    def _fill_seats(self, timeout_seconds: float) -> None:
        """Ask the sources at the head of the line, as far as there are seats and chunks for them."""
        now = time.monotonic()
        late = {task for task, request in self._asked.items() if now - request.began > self._patience()}
        for source in [source for source in self._line if source.rests_until <= now]:
            if len(self._asked) - len(late) >= SEATS or len(self._asked) >= 2 * SEATS:
                return
            index = self._next_chunk(late) if source.knows else None
            if source.knows and index is None:
                continue
            self._line.remove(source)
            task = asyncio.ensure_future(self._ask(source, index, timeout_seconds))
            self._asked[task] = _Request(source, index, now)

    def _patience(self) -> float:
        if not self._took:
            return FIRST_PATIENCE_SECONDS
        return max(LEAST_PATIENCE_SECONDS, SLOW * statistics.median(self._took))

    def _next_chunk(self, late: set[asyncio.Task[_Outcome]]) -> int | None:
        """Return a chunk that is missing and that nobody is asked for in time, nor two peers in vain."""
        assert self.arrival is not None
        asked = [request.index for request in self._asked.values()]
        in_time = {request.index for task, request in self._asked.items() if task not in late}
        free = (index for index in self.arrival.missing if index not in in_time and asked.count(index) < 2)
        return min(free, default=None)

    async def _ask(self, source: _Source, index: int | None, timeout_seconds: float) -> _Outcome:
        now = time.monotonic()
        await asyncio.sleep(source.pace.wait(now))
        source.pace.spend(time.monotonic(), 1)
        try:
            if index is None:
                return await self._ask_outline(source, timeout_seconds)
            return await self._ask_chunk(source, index, timeout_seconds)
        except Busy:
            return _Outcome.BUSY
        except (FetchError, Malformed) as error:
            logger.warning("no state from %s: %s", source.peer.short, error)
            return _Outcome.BAD

    async def _ask_outline(self, source: _Source, timeout_seconds: float) -> _Outcome:
        question, limit = self._question.encode(), longest(self._limit)
        answer = await self._transport.fetch(source.peer, question, limit=limit, timeout_seconds=timeout_seconds)
        outline = Outline.decode(answer, self._limit)
        if outline.digest != self._expected:
            logger.warning("%s serves a state that is not the one that its roster holds", source.peer.short)
            return _Outcome.BAD
        async with self._opening:
            if self.arrival is None:
                self._outline = outline
                self.arrival = await asyncio.to_thread(Arrival, self._arriving, outline)
        source.knows = True
        return _Outcome.GOOD

    async def _ask_chunk(self, source: _Source, index: int, timeout_seconds: float) -> _Outcome:
        assert self._outline is not None and self.arrival is not None
        start, end = self._outline.chunk(index)
        question = Question(want=Want.CHUNK, known=self._expected.hex(), chunk=index).encode()
        began = time.monotonic()
        data = await self._transport.fetch(source.peer, question, limit=end - start, timeout_seconds=timeout_seconds)
        if not await asyncio.to_thread(self.arrival.put, index, data):
            logger.warning("%s serves a chunk that is not of the state that its roster holds", source.peer.short)
            return _Outcome.BAD
        self.arrival.missing.discard(index)
        self._took.append(time.monotonic() - began)
        source.chunks += 1
        return _Outcome.GOOD

    def _collect(self) -> None:
        """Put sources that have answered back into the line: good ones to its head, so that they keep their seats."""
        now = time.monotonic()
        for task in [task for task in self._asked if task.done()]:
            request = self._asked.pop(task)
            outcome, source = task.result(), request.source
            if outcome is _Outcome.BUSY:
                source.rests_until = now + BUSY_SECONDS
            if outcome is _Outcome.GOOD and now - request.began <= self._patience():
                self._line.appendleft(source)
            elif outcome is not _Outcome.BAD:
                self._line.append(source)


async def download_state(
    transport: Libp2pTransport,
    sources: Iterable[PeerId],
    question: Question,
    load: Callable[[Payload], Awaitable[bytes]],
    expected: bytes,
    *,
    arriving: Path,
    limit: int,
    timeout_seconds: float,
    raises_disk_errors: bool = False,
) -> PeerId | None:
    """Fetch the training state with the expected digest from several sources at once, and load it.

    Args:
        sources: peers to ask, those in front before the others.
        question: for a state or a snapshot.
        load: loads the bytes and returns the digest of the result; raises UserError for bytes that it cannot use.
        expected: digest that the state must have.
        arriving: the file in which it arrives; what is left there by an interruption is not fetched again.
        limit: most bytes accepted.
        timeout_seconds: seconds for all of it but the loading.
        raises_disk_errors: whether an OSError of the own disk is raised; else it is told, and the state not had.

    Returns:
        The peer that served most of it, or None where it could not be had.
    """
    began, download = time.monotonic(), Download(transport, sources, question, expected, arriving, limit)
    try:
        with display() as shown:
            if not await download.fetch(shown, timeout_seconds):
                return None
        assert download.arrival is not None
        logger.info(
            "the training state is here after %.1f s, sources: %d", time.monotonic() - began, len(download.served)
        )
        whole = await asyncio.to_thread(download.arrival.whole)
        download.arrival.remove()  # the bytes stay as long as they are looked at
        digest = await load(whole)
    except OSError as error:
        if raises_disk_errors:
            raise
        logger.error("no training state can be kept in %s: %s", arriving, error.strerror)
        return None
    except UserError as error:
        logger.error("the state that most hold cannot be loaded here: %s", error)
        return None
    finally:
        if download.arrival is not None:
            await asyncio.to_thread(download.arrival.close)
    if digest != expected:
        logger.error("the state that most hold is another one once it is loaded here")
        return None
    return download.served[0]
