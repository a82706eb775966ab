"""A small model in stages on one machine: does it learn, under which attack, with which defence?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from btard.identity import IdentityKey, PeerId
from btard.pipeline.defence.attacks import StageAttack
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.epochs import SampleOrder
from btard.pipeline.machine.assembly import assemble, stage_key
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import StageBanned, StageReport
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
        attack: how stages lie.
        seed: of weights and batches.
        epoch_samples: training samples that come again in every epoch, in another order; None draws from all.
        plan: what else a `PipelinePlan` has: checks, codecs.
    """

    family: str
    split: Split
    optimizer: OptimizerPlan
    steps: int
    micro_batches: int
    micro_batch_size: int
    order: PipelineOrder
    attack: StageAttack
    seed: int
    epoch_samples: int | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)


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
        bans: in their order; other peers took the seats.
        sent_bytes: by all stages.
    """

    reports: Sequence[StageReport]
    first_loss: float
    final_loss: float
    attacked: int
    noticed: int
    false_alarms: int
    bans: Sequence[StageBanned] = ()
    sent_bytes: int = 0

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

    order = SampleOrder(trial.seed, trial.micro_batches, trial.micro_batch_size, trial.epoch_samples)

    @lru_cache(maxsize=4)
    def batches(step: int) -> tuple[Batch, ...]:
        return order.batches(task, step)

    machines = assemble(
        cut,
        draw_weights(config, trial.seed),
        trial.optimizer,
        batches,
        order=trial.order,
        attack=trial.attack,
        seed=trial.seed,
        samples=None if trial.epoch_samples is None else order.samples,
        **trial.plan,
    )
    first = held_out_loss(machines, held_out)

    def next_peer(seat: int, last: PeerId) -> tuple[IdentityKey, StageBehaviour]:
        key = stage_key(trial.seed, seat)
        for incarnation in range(1, 256):
            if key.peer_id == last:
                return stage_key(trial.seed, seat, incarnation=incarnation), trial.attack
            key = stage_key(trial.seed, seat, incarnation=incarnation)
        raise RuntimeError(f"seat {seat} has lost 256 peers")

    stages = run_stages(machines, trial.steps, seed=trial.seed, fill=next_peer)
    reports = stages[-1].reports
    liars = [trial.attack.liar(step, cut.stages) for step in range(len(reports))]
    named = [report.accused[0] if report.accused else None for report in reports]
    return TrialOutcome(
        reports=reports,
        first_loss=first,
        final_loss=held_out_loss(machines, held_out),
        attacked=sum(liar is not None for liar in liars),
        noticed=sum(liar is not None and liar == name for liar, name in zip(liars, named, strict=True)),
        false_alarms=sum(name is not None and liar != name for liar, name in zip(liars, named, strict=True)),
        bans=stages[-1].bans,
        sent_bytes=sum(stage.sent_bytes for stage in stages),
    )


def held_out_loss(machines: Sequence[StageMachine], batch: Batch) -> float:
    """Return the loss of all stages in a row, none of which lies."""
    hidden = None
    with torch.no_grad():
        for machine in machines:
            hidden = machine.worker.stage(batch, hidden)
    assert hidden is not None
    return float(hidden)
