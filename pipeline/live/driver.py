"""Runs one stage machine: what arrives is looked at one by one in a worker thread, by the clock of the event loop."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as WorkerPool
from functools import partial
from typing import NamedTuple

from btard.identity import PeerId
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import StageEffect

Perform = Callable[[Sequence[StageEffect]], None]
"""Carries out what a stage wants done."""

Look = Callable[[StageMachine], list[StageEffect]]
"""What a machine is to do next."""

Looked = Callable[[PeerId, int], None]
"""Is told that so many bytes of a sender have been looked at."""


class _Arrived(NamedTuple):
    look: Look
    sender: PeerId | None
    size: int


class StageDriver:
    """One stage in one seating. The machine computes in `worker`, which is nobody else's meanwhile.

    Nothing that arrives before the first step begins is lost: another stage may begin a moment earlier.

    Attributes:
        machine: the stage.
    """

    def __init__(self, machine: StageMachine, worker: WorkerPool, perform: Perform, looked: Looked) -> None:
        self.machine = machine
        self._worker, self._perform, self._looked = worker, perform, looked
        self._arrived: deque[_Arrived] = deque()
        self._steps: deque[int] = deque()
        self._begun = False
        self._wake = asyncio.Event()

    def begin(self, step: int) -> None:
        """Begin a step, once what is being computed is done."""
        self._steps.append(step)
        self._wake.set()

    def put(self, look: Look, sender: PeerId | None = None, size: int = 0) -> None:
        """Let the machine do something in turn: about so many bytes of a sender, if there is one."""
        self._arrived.append(_Arrived(look, sender, size))
        self._wake.set()

    async def run(self) -> None:
        """Run the machine until cancelled; what is being computed then is waited for, and comes to nothing."""
        try:
            while True:
                await self._wait()
                await self._do_one()
        finally:
            for arrived in self._arrived:
                self._tell_looked(arrived)

    async def _wait(self) -> None:
        """Wait for a step to begin, a message, or the deadline."""
        while not self._steps and not (self._begun and self._arrived):
            self._wake.clear()
            left = self.machine.deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _do_one(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self.machine.deadline:
            effects = await self._compute(partial(self.machine.tick, now))
        elif self._steps:
            self._begun = True
            effects = await self._compute(partial(self.machine.begin, now, self._steps.popleft()))
        elif self._begun and self._arrived:
            arrived = self._arrived.popleft()
            try:
                effects = await self._compute(partial(arrived.look, self.machine))
            finally:
                self._tell_looked(arrived)
        else:
            return
        self._perform(effects)

    def _tell_looked(self, arrived: _Arrived) -> None:
        if arrived.sender is not None:
            self._looked(arrived.sender, arrived.size)

    async def _compute(self, work: Callable[[], list[StageEffect]]) -> list[StageEffect]:
        computing = asyncio.get_running_loop().run_in_executor(self._worker, work)
        try:
            return await asyncio.shield(computing)
        except asyncio.CancelledError:
            # The worker must be free before another machine computes on it.
            await asyncio.wait([computing])
            raise
