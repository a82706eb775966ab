"""The states that a peer hands out chunk by chunk: each is serialised once, however many ask for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from btard.outline import Outline, Outlined

MOST_STATES = 2
"""States that are held at once: the newest, and the one before while somebody still fetches it."""

IDLE_SECONDS = 30.0
"""Seconds after which a state that nobody asks for is let go."""


@dataclass(eq=False)
class _Held:
    """A state that is being made, or is."""

    digest: bytes
    made: asyncio.Task[Outlined | None]
    asked_at: float

    @property
    def state(self) -> Outlined | None:
        """The state, None while it is being made, and where that has given none, or another one."""
        if not self.made.done() or self.made.cancelled() or self.made.exception() is not None:
            return None
        found = self.made.result()
        return found if found is not None and found.outline.digest == self.digest else None


class Shelf:
    """Holds serialised states by their digests, as long as they are asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[bytes, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def outline(self, digest: bytes, make: Callable[[], Awaitable[Outlined | None]]) -> Outline | None:
        """Return the outline of the state with this digest, None where it cannot be made.

        Args:
            make: serialises it; called only if it is not here. Another state than the wanted one is not kept.
        """
        held = self._held.get(digest)
        if held is None:
            held = self._held[digest] = _Held(digest, asyncio.ensure_future(_made(make)), self._clock())
            self._make_room()
        held.asked_at = self._clock()
        try:
            await asyncio.shield(held.made)  # one asker that stops waiting costs the others nothing
        finally:
            state = held.state
            if state is None and held.made.done() and self._held.get(digest) is held:
                del self._held[digest]
        return None if state is None else state.outline

    def chunk(self, digest: bytes, index: int) -> memoryview | None:
        """Return a chunk of a state whose outline was asked for, None where it is not here any more."""
        held = self._held.get(digest)
        if held is None or held.state is None:
            return None
        held.asked_at = self._clock()
        return held.state.chunk(index)

    def tidy(self) -> None:
        """Let go of what nobody has asked for lately."""
        since = self._clock() - IDLE_SECONDS
        for digest in [digest for digest, held in self._held.items() if held.asked_at < since]:
            del self._held[digest]

    def _make_room(self) -> None:
        while len(self._held) > MOST_STATES:
            del self._held[min(self._held, key=lambda digest: self._held[digest].asked_at)]


async def _made(make: Callable[[], Awaitable[Outlined | None]]) -> Outlined | None:
    return await make()
