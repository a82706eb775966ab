"""One training of a tiny model in six stages, some of which lie, under one of four defences."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from btard.hashing import tagged_digest
from btard.lab.reproductions.staged.origin import TrainedOrigin, text_task
from btard.lab.reproductions.staged.run import StagedRun
from btard.pipeline.choices import AfterAlarm, OptimizerKind
from btard.pipeline.defence.attacks import MessageLie, StageAttack
from btard.pipeline.defence.behaviours import WithinCheck
from btard.pipeline.defence.comparison import ComputationCheck
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, TrialOutcome, run_trial
from btard.tasks.base import Schedule

WITHIN = 3
"""The stage that lies by no more than checks grant."""


class StageDefence(StrEnum):
    """What is done against stages that lie."""

    NONE = "undefended"
    RESTART = "restart"
    """An iteration with an alarm is thrown away and done again, until no stage lies in it."""
    RELAY = "skip, trusted relay"
    STRANGERS = "skip, no relay"


class AttackRun(StagedRun):
    """A training.

    Attributes:
        steps: iterations of two micro-batches of four samples; see `trained_steps`.
        origin: whose weights it goes on from; None begins with drawn ones.
        rate: probability that a stage lies in an iteration.
        forward, backward: how.
        defence: against it.
        granted: relative error that checks allow, which the stage `WITHIN` uses up in every iteration.
        learning_rate: at its peak.
    """

    split: str = "1-1-1-1-1-1"
    steps: int
    origin: TrainedOrigin | None
    rate: float = 0.0
    forward: MessageLie | None = None
    backward: MessageLie | None = None
    defence: StageDefence = StageDefence.NONE
    granted: float = 0.0
    learning_rate: float

    @property
    def name(self) -> str:
        """See `StagedRun`."""
        lie = f"{self.forward or 'honest'}-{self.backward or 'honest'}-{self.rate:g}"
        defence = self.defence.name.lower()
        granted = f"-granted_{self.granted:g}" if self.granted else ""
        return f"{'tuned' if self.origin else 'scratch'}-{lie}-{defence}{granted}-seed_{self.seed}"

    @property
    def attack(self) -> StageAttack:
        """When stages lie and how: the same iterations and stages whatever the defence."""
        seed = tagged_digest("btard pipeline lies", self.seed.to_bytes(8, "big"))
        again = self.defence is StageDefence.RESTART
        return StageAttack(self.rate, self.forward, self.backward, seed, each_attempt=again)

    @property
    def trained_steps(self) -> int:
        """How many iterations are trained. Restart trains fewer: no more than fit into as many attempts as passing by
        takes, which is two for each iteration with a lie."""
        attack, stages = self.attack, Split.parse(self.split).stages
        if self.defence is not StageDefence.RESTART:
            return self.steps
        left = self.steps + sum(attack.liar(step, stages) is not None for step in range(self.steps))
        for step in range(self.steps):
            attempt = 0
            while attempt < left and attack.liar(step, stages, attempt) is not None:
                attempt += 1
            left -= attempt + 1
            if left < 0:
                return step
        return self.steps

    @property
    def length(self) -> int:
        """See `StagedRun`. A run with restart makes as many attempts as others with its steps."""
        return self.steps

    def shortened(self, steps: int) -> Self:
        """See `StagedRun`; it restarts nothing, since of so few steps it might train none."""
        defence = StageDefence.RELAY if self.defence is StageDefence.RESTART else self.defence
        return self.model_copy(update={"steps": steps, "origin": None, "defence": defence})

    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """See `StagedRun`."""
        state = None if self.origin is None else self.origin.weights(home)
        restarts = self.defence is StageDefence.RESTART
        trial = Trial(
            family="gpt2",
            split=Split.parse(self.split),
            optimizer=OptimizerPlan(OptimizerKind.ADAMW, Schedule(self.learning_rate, 10, self.steps + 50)),
            steps=self.trained_steps,
            micro_batches=2,
            micro_batch_size=4,
            order=PipelineOrder.ONE_FORWARD_ONE_BACKWARD,
            attack=self.attack,
            attackers={WITHIN: WithinCheck(self.granted)} if self.granted else {},
            seed=self.seed,
            state=state,
            plan={
                "checked": self.defence is not StageDefence.NONE,
                "after_alarm": AfterAlarm.RESTART if restarts else AfterAlarm.SKIP,
                "comparison": ComputationCheck(relative_error=self.granted),
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
        "alarms": outcome.skipped,
        "iterations": len(outcome.reports),
        "attempts": sum(report.attempts for report in outcome.reports),
        "losses": [report.loss for report in outcome.reports],
        "liars": list(outcome.liars),
    }
