"""Stage machines on the clock of an event loop: nothing is lost before the first step, and a deadline is kept."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from btard.identity import PeerId
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.live.driver import StageDriver
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import SendStage, StageReport, StageStalled
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch, Schedule
from tests.ending import end_all
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state

OPTIMIZER = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 50))


def batches(step: int) -> list[Batch]:
    return [tiny_batch("gpt2", 100 * step + number) for number in range(2)]


def machines(step_seconds: float = 60.0):
    cut = Cut(tiny_config("gpt2", blocks=3), Split((1, 1, 1)))
    return assemble(cut, tiny_state(cut.config), OPTIMIZER, batches, step_seconds=step_seconds)


def put(driver: StageDriver, sender: PeerId, data: bytes) -> None:
    driver.put(lambda machine: machine.on_message(sender, data), sender, len(data))


class Room:
    """Drivers in one process, which hand each other what they send."""

    def __init__(self, made, steps: int) -> None:
        self.steps, self.losses, self.looked, self.stalled = steps, [], 0, asyncio.Event()
        self.done = asyncio.Event()
        self.worker = ThreadPoolExecutor(1)
        self.drivers = [
            StageDriver(machine, self.worker, lambda effects, n=n: self.perform(n, effects), self.look)
            for n, machine in enumerate(made)
        ]

    def look(self, sender: PeerId, size: int) -> None:
        self.looked += size

    def perform(self, number: int, effects) -> None:
        for effect in effects:
            match effect:
                case SendStage(stages, data):
                    sender = self.drivers[number].machine.plan.roster[number]
                    for stage in stages:
                        put(self.drivers[stage], sender, data)
                case StageReport(step, loss):
                    if loss is not None:
                        self.losses.append(loss)
                    if step + 1 < self.steps:
                        self.drivers[number].begin(step + 1)
                    elif loss is not None:
                        self.done.set()
                case StageStalled():
                    self.stalled.set()


async def test_drivers_train_as_simulated_stages_do() -> None:
    room = Room(machines(), 3)
    running = [asyncio.ensure_future(driver.run()) for driver in room.drivers]
    try:
        room.drivers[0].begin(0)
        # The first stage may be far ahead of the others' beginning: what it says waits.
        async with asyncio.timeout(60):
            while not room.drivers[1]._arrived:  # noqa: ASYNC110 - a thread computes meanwhile
                await asyncio.sleep(0.01)
        for driver in room.drivers[1:]:
            driver.begin(0)
        async with asyncio.timeout(60):
            await room.done.wait()
    finally:
        await end_all(running)
    assert room.losses == [report.loss for report in run_stages(machines(), 3)[-1].reports]
    assert room.looked > 0


async def test_a_stage_that_hears_nothing_tells_so() -> None:
    room = Room(machines(step_seconds=0.2), 1)
    running = asyncio.ensure_future(room.drivers[2].run())
    try:
        room.drivers[2].begin(0)
        async with asyncio.timeout(60):
            await room.stalled.wait()
    finally:
        await end_all([running])


async def test_nonsense_costs_a_look_and_changes_nothing() -> None:
    room = Room(machines(), 1)
    running = [asyncio.ensure_future(driver.run()) for driver in room.drivers]
    try:
        liar = room.drivers[0].machine.plan.roster[1]
        for driver in room.drivers:
            for _ in range(50):
                put(driver, liar, b"nonsense")
            driver.begin(0)
        async with asyncio.timeout(60):
            await room.done.wait()
    finally:
        await end_all(running)
    assert room.losses == [report.loss for report in run_stages(machines(), 1)[-1].reports]
    assert room.looked >= 3 * 50 * len(b"nonsense")
