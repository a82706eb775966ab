"""A small model in stages on one machine: does it learn, under which attack, with which defence?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.pipeline.defence.attacks import StageAttack
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import StageReport
from btard.pipeline.measures.scores import HeldOutScores, held_out_scores
from btard.pipeline.measures.traffic import Traffic, metered
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import draw_weights
from btard.tasks.base import Batch
from btard.tasks.data.known import corpus_of
from btard.tasks.registry import chosen_task, find_task, load_task
from btard.tasks.sentences.task import SentencesTask
from btard.tasks.text import TextTask

StagedTask = TextTask | SentencesTask
"""What a pipeline can train: the next token of text, or classes of sentences."""


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        family: of the model; one that predicts the next token for text, one that classifies for sentences.
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
        state: all weights at the start; None draws them.
        options: what else all stages of `assemble` are told, by name.
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
    state: Mapping[str, torch.Tensor] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialOutcome:
    """What came of it.

    Attributes:
        cut: the model and its stages.
        sequence: tokens of a sample.
        reports: of the last stage, one for each step.
        liars: the stage that lied, by step; None where none did.
        before, after: scores on held-out samples before the first step, and after the last one.
        traffic: bytes by sender and receiver.
    """

    cut: Cut
    sequence: int
    reports: Sequence[StageReport]
    liars: Sequence[int | None]
    before: HeldOutScores
    after: HeldOutScores
    traffic: Traffic = field(default_factory=Traffic)

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
        named = [None if report.alarm is None else report.alarm - 1 for report in self.reports]
        return list(zip(self.liars, named, strict=True))


def run_trial(trial: Trial, task: StagedTask) -> TrialOutcome:
    """Train as a trial says, each stage a simulated peer, and measure.

    Raises:
        UserError: the model cannot be cut so.
    """
    cut = trial_cut(trial.family, trial.split, task)
    machines = assemble(
        cut,
        draw_weights(cut.config, trial.seed) if trial.state is None else trial.state,
        trial.optimizer,
        public_batches(task, trial.seed, trial.micro_batches, trial.micro_batch_size),
        order=trial.order,
        checked=trial.checked,
        trusted_relay=trial.trusted_relay,
        attack=trial.attack,
        seed=trial.seed,
        **trial.options,
    )
    stages = [machine.worker.stage for machine in machines]
    before = held_out_scores(stages, task.evaluation_batches())
    counted, traffic = metered(machines)
    reports = run_stages(counted, trial.steps, seed=trial.seed)[-1].reports
    return TrialOutcome(
        cut=cut,
        sequence=int(task.evaluation_batch().tensors["input_ids"].shape[1]),
        reports=reports,
        liars=[trial.attack.liar(step, cut.stages) for step in range(trial.steps)],
        before=before,
        after=held_out_scores(stages, task.evaluation_batches()),
        traffic=traffic,
    )


def trial_task(task: str, data: str) -> StagedTask:
    """Return the tiny size of a task with its data.

    Args:
        task: as `btard.tasks.registry.load_task` reads it.
        data: as `btard.tasks.data.known.corpus_of` reads it.

    Raises:
        UserError: there is none of this name, it has no stages, or its data cannot be had.
    """
    found = find_task(chosen_task(task).name)
    if not issubclass(found, TextTask | SentencesTask):
        raise UserError(f"the task {task} cannot be cut into stages; gpt and sentences can")
    made = load_task(task, "tiny", corpus_of(data))
    assert isinstance(made, TextTask | SentencesTask)
    return made


def trial_cut(family: str, split: Split, task: StagedTask) -> Cut:
    """Return the tiny model of a family for a task's tokens, cut into stages.

    Raises:
        UserError: the model cannot be cut so, or has no answers of the task's kind.
    """
    chosen = families()[family]
    classifies = isinstance(task, SentencesTask)
    if classifies != (not chosen.head):
        fitting = [name for name, known in families().items() if classifies != bool(known.head)]
        raise UserError(f"the family {family} cannot train the task {task.name}; {', '.join(fitting)} can")
    sequence = int(task.evaluation_batch().tensors["input_ids"].shape[1])
    config = chosen.tiny(task.vocabulary_size, sum(split.blocks), sequence)
    if isinstance(task, SentencesTask):
        config.num_labels = task.classes
    return Cut(config, split)


def public_batches(
    task: StagedTask, seed: int, micro_batches: int, micro_batch_size: int
) -> Callable[[int], tuple[Batch, ...]]:
    """Return what gives the micro-batches of a step: samples drawn anew for each, which follow from the seed."""

    @lru_cache(maxsize=4)
    def batches(step: int) -> tuple[Batch, ...]:
        numbers = range(step * micro_batches, (step + 1) * micro_batches)
        seeds = [tagged_digest("btard pipeline batch", seed.to_bytes(8, "big"), n.to_bytes(8, "big")) for n in numbers]
        return tuple(task.batch(seed, micro_batch_size) for seed in seeds)

    return batches
