"""From a manifest to what a stage computes: the model and its cut, micro-batches, optimizer, plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod

import torch
from transformers import PretrainedConfig

from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import IdentityKey
from btard.pipeline.epochs import SampleOrder
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.optimizer import OptimizerKind, OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import draw_weights
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.base import Schedule, Task
from btard.tasks.text import TextTask

_FRAME_BYTES = 4096
"""Of a message of a stage, beside its numbers: more than a header, a signature and an alarm take."""

_STATE_TIMES = 4
"""How many times as long as its weights a stage's state is at most: two moments, and room for names."""


def cut_of(terms: PipelineTerms, task: Task) -> Cut:
    """Return the model of a pipeline and its cut.

    Raises:
        UserError: the task is no language model's.
    """
    if not isinstance(task, TextTask):
        raise UserError(f"a pipeline trains on text, which the task {task.label} is not; --task gpt is one that is")
    family = families()[terms.family]
    sequence = int(task.evaluation_batch().tensors["input_ids"].shape[1])
    config: PretrainedConfig = family.tiny(task.corpus.meta.vocabulary_size, sum(terms.blocks), sequence)
    config.tie_word_embeddings = terms.tied
    return Cut(config, Split(terms.blocks))


def numbers_of(cut: Cut) -> int:
    """Return how many numbers the model's weights have, each copy of a tied one counted."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in cut.family.construct(cut.config).parameters())


class StageBuilder:
    """Makes stages of one run.

    Attributes:
        manifest: of the run.
        terms: what it says of the pipeline.
        cut: the model.
    """

    def __init__(self, manifest: RunManifest, task: Task) -> None:
        """Read what the run is.

        Raises:
            UserError: the task is no language model's, or this version's model has another size.
        """
        if manifest.pipeline is None:
            raise ValueError("a manifest without a pipeline")
        self.manifest, self.terms, self.cut = manifest, manifest.pipeline, cut_of(manifest.pipeline, task)
        if (numbers := numbers_of(self.cut)) != manifest.dimension:
            raise UserError(
                f"this version's model has {numbers} numbers, but the run's has {manifest.dimension}; install the "
                "version that the coordinator runs"
            )
        assert isinstance(task, TextTask)
        self._batches = SampleOrder(manifest.seed, self.terms.micro_batches, manifest.batch_size).of(task)

    @cached_property
    def _optimizer(self) -> OptimizerPlan:
        terms = self.manifest
        schedule = Schedule(terms.learning_rate, terms.warmup_steps, terms.total_steps)
        return OptimizerPlan(OptimizerKind(self.terms.optimizer), schedule, max_grad_norm=terms.max_grad_norm)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Samples, tokens and width of an activation of one micro-batch."""
        samples, sequence = self._batches(0)[0].tensors["input_ids"].shape
        return int(samples), int(sequence), int(self.cut.config.hidden_size)

    def plan(self, seating: Seating) -> PipelinePlan:
        """Return what the stages of a seating agree on."""
        return PipelinePlan(
            run=seating.messages_run,
            roster=seating.seats,
            order=PipelineOrder(self.terms.order),
            shape=self.shape,
            micro_batches=self.terms.micro_batches,
            batches=self._batches,
            checked=self.terms.checked,
            trusted_relay=self.terms.trusted_relay,
            step_seconds=self.terms.step_seconds,
        )

    def held_by(self, stage: int) -> tuple[int, ...]:
        """Return the stages whose weights the peer of a stage holds: its own, and the duplicate that it checks by."""
        return (stage, stage - 1) if self.terms.checked and stage >= 2 else (stage,)

    def machine(
        self, seating: Seating, key: IdentityKey, stage: int, states: Mapping[int, Payload | None]
    ) -> StageMachine:
        """Return a stage that is ready to begin the seating's step.

        Args:
            states: of the stages of `held_by`, None where the weights follow from the seed.

        Raises:
            UserError: a state is not one of its stage.
        """
        workers = {number: self._worker(number, state) for number, state in states.items()}
        return StageMachine(self.plan(seating), key, workers[stage], workers.get(stage - 1))

    def _worker(self, stage: int, state: Payload | None) -> KeptWorker:
        drawn = draw_weights(self.cut.config, self.manifest.seed)
        worker = KeptWorker(ModelStage(self.cut, stage, drawn), self._optimizer)
        if state is not None:
            worker.load_bytes(state)
        return worker

    @cached_property
    def most_message_bytes(self) -> int:
        """Bytes of the longest message of a stage."""
        exchange = StepExchange(self.cut)
        told = [max(exchange.tied_numbers(stage), exchange.norm_numbers(stage)) for stage in range(self.cut.stages)]
        return 4 * max(prod(self.shape), *told) + _FRAME_BYTES

    @cached_property
    def most_pending_bytes(self) -> int:
        """Bytes that a stage may have sent another which that has not looked at: all of two steps, each done twice."""
        return 4 * (2 * self.terms.micro_batches + 3) * self.most_message_bytes

    @property
    def most_waiting(self) -> int:
        """Messages that a stage may have for another one at once: all of a step, and those of its end."""
        return 2 * self.terms.micro_batches + 8

    @cached_property
    def most_state_bytes(self) -> int:
        """Bytes that the state of a stage has at most."""
        return _STATE_TIMES * 4 * self.manifest.dimension + (1 << 20)
