"""How much processor time a coroutine takes, apart from all that runs while it waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import thread_time
from typing import Any


class _Measured:
    def __init__(self, work: Coroutine[Any, Any, None], spend: Callable[[float], None]) -> None:
        self._work = work
        self._spend = spend

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        while True:
            began = thread_time()
            try:
                awaited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration:
                return
            finally:
                self._spend(thread_time() - began)
            error = None
            try:
                yield awaited
            except BaseException as thrown:  # a cancellation, which is the work's own to handle
                error = thrown


async def measured(make: Callable[[], Coroutine[Any, Any, None]], spend: Callable[[float], None]) -> None:
    """Do the work that `make` begins, and tell `spend` of the seconds of this thread after each of its stretches."""
    await _Measured(make(), spend)
