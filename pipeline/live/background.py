"""What a peer does beside the passes of its stage: each piece of work is held until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Work under way. What a piece of it raises goes to the event loop's handler of errors."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a piece of work."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def cancel(self) -> tuple[asyncio.Task[None], ...]:
        """Cancel all that is not done, and return it."""
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        return left

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()
