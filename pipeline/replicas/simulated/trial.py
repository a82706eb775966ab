"""A small model in stages on one machine, each stage several times: the replicas of a stage average their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from btard.behaviour import Behaviour
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import tagged_digest
from btard.pipeline.epochs import SampleOrder, share_of
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.measures.scores import HeldOutScores, held_out_scores
from btard.pipeline.replicas.rules import AveragingRules
from btard.pipeline.replicas.simulated.pipelines import AveragedStep, Pipelines, ReplicaBan, Seat
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.weights import draw_weights
from btard.pipeline.trial import StagedTask, Trial, trial_cut
from btard.tasks.base import Batch
from btard.vocabulary import NO_ATTACK


@dataclass(frozen=True)
class ReplicaTrial:
    """What is tried.

    Attributes:
        trial: of each pipeline; `micro_batches` are its own, and nobody lies about activations.
        replicas: how many pipelines there are.
        averaging: how their gradients are averaged.
        attack: what a replica of a stage does wrong when gradients are averaged, by its name.
    """

    trial: Trial
    replicas: int
    averaging: AveragingRules
    attack: str = NO_ATTACK

    @property
    def liar(self) -> Seat | None:
        """The replica that lies: one of the stage in the middle, by the seed; None if none does."""
        if self.attack == NO_ATTACK:
            return None
        drawn = tagged_digest("btard pipeline lying replica", self.trial.seed.to_bytes(8, "big"))
        return int.from_bytes(drawn[:8], "big") % self.replicas, self.trial.split.stages // 2


@dataclass(frozen=True)
class ReplicaOutcome:
    """What came of it.

    Attributes:
        cut: the model and its stages.
        steps: one for each step.
        before, after: scores on held-out samples before the first step, and after the last one.
        equal: whether all replicas of each stage hold the same state at the end, to the bit.
        sent_bytes: of all replicas, to average.
    """

    cut: Cut
    steps: Sequence[AveragedStep]
    before: HeldOutScores
    after: HeldOutScores
    equal: bool
    sent_bytes: int

    @property
    def bans(self) -> list[ReplicaBan]:
        """The bans of all steps."""
        return [ban for step in self.steps for ban in step.bans]


def run_replicas(tried: ReplicaTrial, task: StagedTask) -> ReplicaOutcome:
    """Train as a trial says, each replica of each stage a simulated peer, and measure.

    Raises:
        UserError: the model cannot be cut so, or there is no such attack.
    """
    trial = tried.trial
    cut = trial_cut(trial.family, trial.split, task, trial.config)
    pipelines = Pipelines(
        cut,
        draw_weights(cut.config, trial.seed) if trial.state is None else trial.state,
        trial.optimizer,
        replica_plans(tried, task, int(cut.config.hidden_size)),
        tried.averaging,
        seed=trial.seed,
        behaviours=_behaviours(tried),
    )
    first = [machine.worker.stage for machine in pipelines.machines[0]]
    before = held_out_scores(first, task.evaluation_batches())
    steps = [pipelines.step(step) for step in range(trial.steps)]
    return ReplicaOutcome(
        cut,
        steps,
        before,
        held_out_scores(first, task.evaluation_batches()),
        pipelines.equal,
        pipelines.sent_bytes,
    )


def replica_plans(tried: ReplicaTrial, task: StagedTask, hidden: int) -> list[PipelinePlan]:
    """Return the plan of each pipeline: the micro-batches of a step are drawn for all together, and shared out.

    Raises:
        UserError: the task has no numbered samples, or fewer than an epoch.
    """
    trial, each = tried.trial, tried.trial.micro_batches
    order = SampleOrder(trial.seed, each * tried.replicas, trial.micro_batch_size, trial.epoch_samples)
    batches = order.of(task)

    sample: Batch = batches(0)[0]
    return [
        PipelinePlan(
            run=b"",
            roster=(),
            order=trial.order,
            shape=(*sample.tensors["input_ids"].shape, hidden),
            micro_batches=each,
            batches=share_of(batches, replica, each),
            samples=None if trial.epoch_samples is None else share_of(order.samples, replica, each),
            **trial.plan,
        )
        for replica in range(tried.replicas)
    ]


def _behaviours(tried: ReplicaTrial) -> dict[Seat, Behaviour]:
    if tried.liar is None:
        return {}
    chosen = BehaviourSettings(attack_type=tried.attack, attack_start=0)
    seed = tagged_digest("btard pipeline replica lies", tried.trial.seed.to_bytes(8, "big"))
    return {tried.liar: make_behaviour(chosen, seed=seed)}
