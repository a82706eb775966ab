"""One training in four stages, one of which lies in every step, under checks that are drawn: when is it found out?"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from btard.hashing import tagged_digest
from btard.lab.reproductions.staged.origin import text_task
from btard.lab.reproductions.staged.run import StagedRun
from btard.pipeline.choices import CheckMode, OptimizerKind
from btard.pipeline.defence.attacks import HONEST, MessageLie
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.defence.behaviours import Persistent, WrongNorms
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, TrialOutcome, run_trial
from btard.tasks.base import Schedule


class PersistentLie(StrEnum):
    """What a stage says in every step."""

    REVERSED = "activations reversed"
    DRIFT = "activations moved by 5 %"
    NOISE = "noise as gradients"
    NORMS = "norms too small"

    @property
    def behaviour(self) -> StageBehaviour:
        """How a stage does so."""
        match self:
            case PersistentLie.REVERSED:
                return Persistent(forward=MessageLie.REVERSE)
            case PersistentLie.DRIFT:
                return Persistent(forward=MessageLie.DRIFT)
            case PersistentLie.NOISE:
                return Persistent(backward=MessageLie.NOISE)
            case PersistentLie.NORMS:
                return WrongNorms()


class DelayRun(StagedRun):
    """A training.

    Attributes:
        steps: of one micro-batch of two samples.
        share: probability that a stage's step is computed again.
        lie: of the stage `liar`; the peers that take the seat after a ban lie in the same way.
    """

    split: str = "1-1-1-1"
    steps: int
    share: float
    lie: PersistentLie
    liar: int = 2

    @property
    def name(self) -> str:
        """See `StagedRun`."""
        return f"delay-{self.lie.name.lower()}-{self.share:g}-seed_{self.seed}"

    @property
    def drawn_seed(self) -> int:
        """Of all that is drawn: another one for each run, or checks would fall on the same steps for all lies."""
        named = f"{self.seed} {self.share:g} {self.lie}".encode()
        return int.from_bytes(tagged_digest("btard pipeline delays", named)[:4], "big")

    @property
    def length(self) -> int:
        """See `StagedRun`."""
        return self.steps

    def shortened(self, steps: int) -> Self:
        """See `StagedRun`."""
        return self.model_copy(update={"steps": steps})

    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """See `StagedRun`."""
        trial = Trial(
            family="gpt2",
            split=Split.parse(self.split),
            optimizer=OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-3, 10, self.steps + 50)),
            steps=self.steps,
            micro_batches=1,
            micro_batch_size=2,
            order=PipelineOrder.GPIPE,
            attack=HONEST,
            attackers={self.liar: self.lie.behaviour},
            seed=self.drawn_seed,
            plan={"mode": CheckMode.DRAWN, "share": self.share},
        )
        outcome = run_trial(trial, text_task(self.data))
        found = [report.step for report in outcome.reports if self.liar in report.accused]
        return {
            "steps": len(outcome.reports),
            "found": found,
            "bans": ban_delays(outcome, self.liar),
            "honest_accused": sum(bool(set(report.accused) - {self.liar}) for report in outcome.reports),
            "honest_banned": sum(seat != self.liar for _, seat in outcome.vacated),
        }


def ban_delays(outcome: TrialOutcome, liar: int) -> list[int]:
    """Return for each banned peer of a seat how many steps it was there, its last one included."""
    ends = [-1, *(step for step, seat in outcome.vacated if seat == liar)]
    return [last - before for before, last in pairwise(ends)]
