"""Which stages take part in an attempt at a step, and so between which of them activations travel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from btard.pipeline.defence.recovery import NO_ALARM, Recovery
from btard.pipeline.machine.messages import StageMessageKind


@dataclass(frozen=True)
class Lineup:
    """The stages of an attempt.

    Attributes:
        stages: how many the model has.
        duplicates: whether each middle stage has one at the stage after it.
        recovery: which stages are passed by, empty seats among them, and which do not learn.
        raw: boundaries, by the stage that sends, at which everything is sent raw, because what is kept there differs.
    """

    stages: int
    duplicates: bool
    recovery: Recovery = NO_ALARM
    raw: frozenset[int] = frozenset()

    @cached_property
    def live(self) -> tuple[int, ...]:
        """The stages that compute."""
        return tuple(stage for stage in range(self.stages) if stage not in self.recovery.skipped)

    @cached_property
    def learning(self) -> tuple[int, ...]:
        """The stages whose weights change."""
        return tuple(stage for stage in range(self.stages) if stage not in self.recovery.frozen)

    @property
    def trains(self) -> bool:
        """Whether there is anything to compute; without its first or last stage a step is given up."""
        return 0 not in self.recovery.skipped and self.stages - 1 not in self.recovery.skipped

    def before(self, stage: int) -> int | None:
        """Return the stage that sends a live one its activations."""
        place = self.live.index(stage)
        return self.live[place - 1] if place else None

    def after(self, stage: int) -> int | None:
        """Return the stage that a live one sends its activations to."""
        place = self.live.index(stage)
        return self.live[place + 1] if place + 1 < len(self.live) else None

    def source(self, kind: StageMessageKind, stage: int) -> tuple[StageMessageKind, int] | None:
        """Return kind and author of the message from which a live stage computes one of its own; None for the first."""
        before, after = self.before(stage), self.after(stage)
        if kind is StageMessageKind.GRADIENT and after is not None:
            return kind, after
        return None if before is None else (StageMessageKind.ACTIVATION, before)

    def checker(self, stage: int) -> int | None:
        """Return the stage that holds the duplicate of a live one and computes with it; None where none does."""
        if not self.duplicates or not 1 <= stage <= self.stages - 2:
            return None
        here = stage in self.live and stage + 1 in self.live and stage in self.learning
        return stage + 1 if here else None

    def keeps(self, source: int) -> bool:
        """Whether both sides keep what crosses the boundary after a stage, and all that should know of it do."""
        if source not in self.live or source + 1 not in self.live:
            return False
        watcher = source + 2
        watched = self.duplicates and watcher < self.stages
        return not watched or self.checker(source + 1) == watcher
