"""One training of a tiny model in six stages, some of which lie, under one of four defences."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from btard.hashing import tagged_digest
from btard.lab.reproductions.staged.origin import TrainedOrigin, text_task
from btard.lab.reproductions.staged.run import StagedRun
from btard.pipeline.defence.attacks import MessageLie, StageAttack
from btard.pipeline.schedule.optimizer import OptimizerKind, OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, TrialOutcome, run_trial
from btard.tasks.base import Schedule


class StageDefence(StrEnum):
    """What is done against stages that lie."""

    NONE = "undefended"
    RESTART = "restart"
    """An iteration with an alarm is thrown away and done again."""
    RELAY = "skip, trusted relay"
    STRANGERS = "skip, no relay"


class AttackRun(StagedRun):
    """A training.

    Attributes:
        steps: iterations of two micro-batches of four samples.
        origin: whose weights it goes on from; None begins with drawn ones.
        rate: probability that a stage lies in an iteration.
        forward, backward: how.
        defence: against it.
        learning_rate: at its peak.
    """

    split: str = "1-1-1-1-1-1"
    steps: int
    origin: TrainedOrigin | None
    rate: float = 0.0
    forward: MessageLie | None = None
    backward: MessageLie | None = None
    defence: StageDefence = StageDefence.NONE
    learning_rate: float

    @property
    def name(self) -> str:
        """See `StagedRun`."""
        lie = f"{self.forward or 'honest'}-{self.backward or 'honest'}-{self.rate:g}"
        defence = self.defence.name.lower()
        return f"{'tuned' if self.origin else 'scratch'}-{lie}-{defence}-seed_{self.seed}"

    @property
    def attack(self) -> StageAttack:
        """When stages lie and how: the same iterations and stages whatever the defence."""
        seed = tagged_digest("btard pipeline lies", self.seed.to_bytes(8, "big"))
        return StageAttack(self.rate, self.forward, self.backward, seed)

    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """See `StagedRun`."""
        state = None if self.origin is None else self.origin.weights(home)
        split, steps, attack = Split.parse(self.split), self.steps, self.attack
        if self.defence is StageDefence.RESTART:
            # What is thrown away leaves no trace, so what is left is a training on the other iterations. That every
            # lie raises an alarm is what the defended runs measure.
            steps = sum(attack.liar(step, split.stages) is None for step in range(self.steps))
            attack = StageAttack(0.0)
        trial = Trial(
            family="gpt2",
            split=split,
            optimizer=OptimizerPlan(OptimizerKind.ADAMW, Schedule(self.learning_rate, 10, self.steps + 50)),
            steps=steps,
            micro_batches=2,
            micro_batch_size=4,
            order=PipelineOrder.ONE_FORWARD_ONE_BACKWARD,
            attack=attack,
            seed=self.seed,
            state=state,
            plan={
                "checked": self.defence in (StageDefence.RELAY, StageDefence.STRANGERS),
                "trusted_relay": self.defence is StageDefence.RELAY,
                "ban": False,  # the published study bans nobody
            },
        )
        return _found(run_trial(trial, text_task(self.data)))


def _found(outcome: TrialOutcome) -> dict[str, Any]:
    return {
        "before": outcome.before.perplexity,
        "perplexity": outcome.after.perplexity,
        "attacked": outcome.attacked,
        "noticed": outcome.noticed,
        "false_alarms": outcome.false_alarms,
        "skipped": outcome.skipped,
        "losses": [report.loss for report in outcome.reports],
        "liars": list(outcome.liars),
    }
