"""A small model in stages on one machine: does it learn, under which attack, with which defence?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PretrainedConfig

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.pipeline.defence.attacks import StageAttack
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.epochs import SampleOrder
from btard.pipeline.machine.assembly import assemble, stage_key
from btard.pipeline.machine.memory import SeatFiller, run_stages
from btard.pipeline.machine.plan import StageBanned, StageReport
from btard.pipeline.measures.scores import HeldOutScores, held_out_scores
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import check_task_fits
from btard.pipeline.stages.weights import draw_weights
from btard.tasks.classes import ClassesTask
from btard.tasks.data.known import corpus_of
from btard.tasks.registry import chosen_task, find_task, load_task
from btard.tasks.text import TextTask

StagedTask = TextTask | ClassesTask
"""What a pipeline can train: the next token of text, or classes of it."""

Traffic = Mapping[tuple[int, int], int]
"""Bytes by (stage that sends, stage that receives)."""


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        family: of the model; one that predicts the next token for text, one that classifies for sentences.
        split: blocks of each stage.
        config: of the model that `state` is of; None for a tiny one.
        optimizer: of all stages.
        steps: to be trained.
        micro_batches: of a step.
        micro_batch_size: samples of each.
        order: how passes alternate.
        attack: how stages lie.
        seed: of weights and batches.
        state: all weights at the start; None draws them.
        attackers: how single stages lie, in place of `attack`; the peers that come after them do the same.
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
    state: Mapping[str, torch.Tensor] | None = None
    config: PretrainedConfig | None = None
    attackers: Mapping[int, StageBehaviour] = field(default_factory=dict)
    epoch_samples: int | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialOutcome:
    """What came of it.

    Attributes:
        cut: the model and its stages.
        sequence: tokens of a sample.
        reports: of the last stage, one for each step.
        liars: the stage that lied by the trial's `attack`, by step; None where none did.
        before, after: scores on held-out samples before the first step, and after the last one.
        bans: in their order; other peers took the seats.
        vacated: (step, seat) of each seat that lost its peer at the end of a step.
        traffic: of all steps.
    """

    cut: Cut
    sequence: int
    reports: Sequence[StageReport]
    liars: Sequence[int | None]
    before: HeldOutScores
    after: HeldOutScores
    bans: Sequence[StageBanned]
    vacated: Sequence[tuple[int, int]]
    traffic: Traffic

    @property
    def attacked(self) -> int:
        """Steps in which a stage lied."""
        return sum(liar is not None for liar in self.liars)

    @property
    def noticed(self) -> int:
        """Of these, steps in which the alarm names the liar."""
        return sum(liar is not None and liar == name for liar, name in self._named)

    @property
    def false_alarms(self) -> int:
        """Alarms in steps in which none lied, or about another stage."""
        return sum(name is not None and liar != name for liar, name in self._named)

    @property
    def skipped(self) -> int:
        """Steps in which stages were passed by."""
        return sum(report.alarm is not None for report in self.reports)

    @property
    def _named(self) -> list[tuple[int | None, int | None]]:
        named = [report.accused[0] if report.accused else None for report in self.reports]
        return list(zip(self.liars, named, strict=True))


def run_trial(trial: Trial, task: StagedTask) -> TrialOutcome:
    """Train as a trial says, each stage a simulated peer, and measure.

    Raises:
        UserError: the model cannot be cut so.
    """
    cut = trial_cut(trial.family, trial.split, task, trial.config)
    order = SampleOrder(trial.seed, trial.micro_batches, trial.micro_batch_size, trial.epoch_samples)
    machines = assemble(
        cut,
        draw_weights(cut.config, trial.seed) if trial.state is None else trial.state,
        trial.optimizer,
        order.of(task),
        order=trial.order,
        attack=trial.attack,
        attackers=trial.attackers,
        seed=trial.seed,
        samples=None if trial.epoch_samples is None else order.samples,
        **trial.plan,
    )
    before = held_out_scores([machine.worker.stage for machine in machines], task.evaluation_batches())
    stages = run_stages(machines, trial.steps, seed=trial.seed, fill=_newcomers(trial))
    reports = stages[-1].reports
    return TrialOutcome(
        cut=cut,
        sequence=int(task.evaluation_batch().tensors["input_ids"].shape[1]),
        reports=reports,
        liars=[trial.attack.liar(step, cut.stages) for step in range(len(reports))],
        before=before,
        after=held_out_scores([machine.worker.stage for machine in machines], task.evaluation_batches()),
        bans=stages[-1].bans,
        vacated=stages[-1].vacated,
        traffic={(stage.machine.number, to): sent for stage in stages for to, sent in stage.sent_bytes.items()},
    )


def _newcomers(trial: Trial) -> SeatFiller:
    """Return what names the next peer of a seat: a key of its own, and the same behaviour."""

    def next_peer(seat: int, last: PeerId) -> tuple[IdentityKey, StageBehaviour]:
        keys = [stage_key(trial.seed, seat), *(stage_key(trial.seed, seat, incarnation=n) for n in range(1, 256))]
        place = next(place for place, key in enumerate(keys) if key.peer_id == last)
        if place + 1 == len(keys):
            raise RuntimeError(f"seat {seat} has lost {len(keys)} peers")
        return keys[place + 1], trial.attackers.get(seat, trial.attack)

    return next_peer


def trial_task(task: str, data: str, tokenizer: str | None = None) -> StagedTask:
    """Return the tiny size of a task with its data.

    Args:
        task: as `btard.tasks.registry.load_task` reads it.
        data, tokenizer: as `btard.tasks.data.known.corpus_of` reads them.

    Raises:
        UserError: there is none of this name, it has no stages, or its data cannot be had.
    """
    found = find_task(chosen_task(task).name)
    if not issubclass(found, TextTask | ClassesTask):
        raise UserError(f"the task {task} cannot be cut into stages; gpt and sentences can")
    made = load_task(task, "tiny", corpus_of(data, tokenizer))
    assert isinstance(made, TextTask | ClassesTask)
    return made


def trial_cut(family: str, split: Split, task: StagedTask, config: PretrainedConfig | None = None) -> Cut:
    """Return a model for a task's tokens, cut into stages: the tiny one of a family, or that of a configuration.

    Raises:
        UserError: the model cannot be cut so, or has no answers of the task's kind.
    """
    chosen = families()[family]
    classifies = isinstance(task, ClassesTask)
    if classifies != (not chosen.head):
        fitting = [name for name, known in families().items() if classifies != bool(known.head)]
        raise UserError(f"the family {family} cannot train the task {task.name}; {', '.join(fitting)} can")
    if config is not None:
        check_task_fits(config, task)
        return Cut(config, split)
    sequence = int(task.evaluation_batch().tensors["input_ids"].shape[1])
    config = chosen.tiny(task.vocabulary_size, sum(split.blocks), sequence)
    if isinstance(task, ClassesTask):
        config.num_labels = task.classes
    return Cut(config, split)
