"""How many bytes go from each stage to each other one."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from btard.identity import PeerId
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import SendStage, StageEffect

Traffic = Counter[tuple[int, int]]
"""Bytes by (stage that sends, stage that receives)."""


def metered(machines: list[StageMachine]) -> tuple[list[StageMachine], Traffic]:
    """Return machines that act like these, and what they have sent so far, which grows while they run."""
    traffic: Traffic = Counter()
    return [cast(StageMachine, _Metered(machine, traffic)) for machine in machines], traffic


class _Metered:
    """A stage whose messages are counted on their way out; all else is the stage's own."""

    def __init__(self, machine: StageMachine, traffic: Traffic) -> None:
        self._machine, self._traffic = machine, traffic

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def begin(self, now: float, step: int) -> list[StageEffect]:
        return self._counted(self._machine.begin(now, step))

    def on_message(self, sender: PeerId, data: bytes) -> list[StageEffect]:
        return self._counted(self._machine.on_message(sender, data))

    def tick(self, now: float) -> list[StageEffect]:
        return self._counted(self._machine.tick(now))

    def _counted(self, effects: list[StageEffect]) -> list[StageEffect]:
        for effect in effects:
            if isinstance(effect, SendStage):
                for stage in effect.stages:
                    self._traffic[self._machine.number, stage] += len(effect.data)
        return effects
