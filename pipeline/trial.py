"""A small model in stages on one machine: does it learn, under which attack, with which defence?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from btard.hashing import tagged_digest
from btard.pipeline.defence.attacks import StageAttack
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import StageReport
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import draw_weights
from btard.tasks.base import Batch
from btard.tasks.text import TextTask


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        family: of the model, one that predicts the next token.
        split: blocks of each stage.
        optimizer: of all stages.
        steps: to be trained.
        micro_batches: of a step.
        micro_batch_size: samples of each.
        order: how passes alternate.
        checked: whether stages are compared with their duplicates.
        trusted_relay: whether activations come over a relay that all trust.
        attack: how stages lie.
        seed: of weights and batches.
    """

    family: str
    split: Split
    optimizer: OptimizerPlan
    steps: int
    micro_batches: int
    micro_batch_size: int
    order: PipelineOrder
    checked: bool
    trusted_relay: bool
    attack: StageAttack
    seed: int


@dataclass(frozen=True)
class TrialOutcome:
    """What came of it.

    Attributes:
        reports: of the last stage, one for each step.
        first_loss: on held-out samples before the first step.
        final_loss: after the last one.
        attacked: steps in which a stage lied.
        noticed: of these, steps in which the alarm names the liar.
        false_alarms: alarms in steps in which none lied, or about another stage.
    """

    reports: Sequence[StageReport]
    first_loss: float
    final_loss: float
    attacked: int
    noticed: int
    false_alarms: int

    @property
    def perplexity(self) -> float:
        """Of held-out text, e to the final loss; infinite where that cannot be written."""
        return math.exp(self.final_loss) if self.final_loss < 700 else math.inf


def run_trial(trial: Trial, task: TextTask) -> TrialOutcome:
    """Train as a trial says, each stage a simulated peer, and measure.

    Raises:
        UserError: the model cannot be cut so.
    """
    held_out = task.evaluation_batch()
    sequence = int(held_out.tensors["input_ids"].shape[1])
    family = families()[trial.family]
    config = family.tiny(task.corpus.meta.vocabulary_size, sum(trial.split.blocks), sequence)
    cut = Cut(config, trial.split)

    @lru_cache(maxsize=4)
    def batches(step: int) -> tuple[Batch, ...]:
        numbers = range(step * trial.micro_batches, (step + 1) * trial.micro_batches)
        seeds = [
            tagged_digest("btard pipeline batch", trial.seed.to_bytes(8, "big"), n.to_bytes(8, "big")) for n in numbers
        ]
        return tuple(task.batch(seed, trial.micro_batch_size) for seed in seeds)

    machines = assemble(
        cut,
        draw_weights(config, trial.seed),
        trial.optimizer,
        batches,
        order=trial.order,
        checked=trial.checked,
        trusted_relay=trial.trusted_relay,
        attack=trial.attack,
        seed=trial.seed,
    )
    first = held_out_loss(machines, held_out)
    reports = run_stages(machines, trial.steps, seed=trial.seed)[-1].reports
    liars = [trial.attack.liar(step, cut.stages) for step in range(trial.steps)]
    named = [None if report.alarm is None else report.alarm - 1 for report in reports]
    return TrialOutcome(
        reports=reports,
        first_loss=first,
        final_loss=held_out_loss(machines, held_out),
        attacked=sum(liar is not None for liar in liars),
        noticed=sum(liar is not None and liar == name for liar, name in zip(liars, named, strict=True)),
        false_alarms=sum(name is not None and liar != name for liar, name in zip(liars, named, strict=True)),
    )


def held_out_loss(machines: Sequence[StageMachine], batch: Batch) -> float:
    """Return the loss of all stages in a row, none of which lies."""
    hidden = None
    with torch.no_grad():
        for machine in machines:
            hidden = machine.worker.stage(batch, hidden)
    assert hidden is not None
    return float(hidden)
