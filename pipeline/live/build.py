"""From a manifest to what a stage computes: the model and its cut, micro-batches, optimizer, plan."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from transformers import PretrainedConfig

from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import IdentityKey
from btard.pipeline.caches.boundary import check_dims
from btard.pipeline.caches.shared import largest_message
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.codecs import Codec, DeltaCodec
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.epochs import SampleOrder, share_of
from btard.pipeline.justice.case import MAX_CASE
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.machine.inbox import IN_CHUNKS
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.messages import StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan, step_options
from btard.pipeline.machine.sizes import CHUNK_BYTES, MessageSizes
from btard.pipeline.replicas.machine import AllSteps, ReplicaMachine
from btard.pipeline.replicas.record import ReplicaStep
from btard.pipeline.replicas.rules import AveragingRules, replica_rules, round_nonce
from btard.pipeline.replicas.trainer import KEPT_STEPS
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage, stage_names
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import check_task_fits, read_config
from btard.pipeline.stages.weights import draw_weights
from btard.pipeline.step.channels import agreed_codecs, check_precision
from btard.round.evidence.file import MAX_FILE
from btard.round.rules import StepRules
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.base import Schedule, Task
from btard.tasks.text import TextTask
from btard.vocabulary import Precision

CACHE_BYTES = 1 << 30
"""What a delta codec may keep of one boundary at one stage, in a file in the peer's directory. All have the same limit:
a sample that one side keeps and the other does not would be sent twice at every visit."""

_BUILDING = threading.Lock()
"""New weights come from torch's generator, which is the process's: two threads would draw each other's numbers."""

_FRAME_BYTES = 4096
"""Of a message of a stage, beside its numbers: more than a header, a signature and an alarm take."""

_ASKED_AGAIN = 4
"""How often in the time of a step a stage asks again for what has not come."""

_RETRY_SECONDS = 30.0
"""Seconds after which it does so at the latest."""

_STATE_TIMES = 4
"""How many times as long as its weights a stage's state is at most: two moments, and room for names."""


_IN_STEPS = frozenset(StageMessageKind) - IN_CHUNKS


def text_task(task: Task) -> TextTask:
    """Return a task that a pipeline can train.

    Raises:
        UserError: it is no language model's.
    """
    if not isinstance(task, TextTask):
        raise UserError(f"a pipeline trains on text, which the task {task.label} is not; --task gpt is one that is")
    return task


def cut_of(terms: PipelineTerms, task: Task) -> Cut:
    """Return the model of a pipeline and its cut.

    Raises:
        UserError: the task is no language model's, or the model has no such blocks, tokens or positions.
    """
    text = text_task(task)
    if terms.model is not None:
        cut = Cut(read_config(terms.family, terms.model.config, sum(terms.blocks)), Split(terms.blocks))
        check_task_fits(cut.config, text)
        return cut
    family = families()[terms.family]
    sequence = int(text.evaluation_batch().tensors["input_ids"].shape[1])
    config: PretrainedConfig = family.tiny(text.corpus.meta.vocabulary_size, sum(terms.blocks), sequence)
    config.tie_word_embeddings = terms.tied
    return Cut(config, Split(terms.blocks))


def beginning_of(terms: PipelineTerms) -> tuple[bytes, ...]:
    """Return what the first seating names as each stage's state: a digest, or that it follows from the seed."""
    if terms.model is None:
        return (DRAWN,) * terms.stages
    return tuple(bytes.fromhex(first.state) for first in terms.model.stages)


def numbers_of(cut: Cut) -> int:
    """Return how many numbers the model's weights have, each copy of a tied one counted."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in cut.family.construct(cut.config).parameters())


def order_of(terms: PipelineTerms, seed: int, batch_size: int) -> SampleOrder:
    """Return which samples each step trains on; they are drawn for all pipelines together."""
    return SampleOrder(seed, terms.micro_batches * terms.replicas, batch_size, terms.epoch_samples or None)


def codecs_of(terms: PipelineTerms) -> tuple[Codec | DeltaCodec, Codec]:
    """Return the codecs of activations and of gradients; raises UserError."""
    return agreed_codecs(terms.forward_codec, terms.backward_codec, has_sample_ids=bool(terms.epoch_samples))


def check_step(terms: PipelineTerms, task: TextTask, cut: Cut, batch_size: int, precision: Precision) -> None:
    """Check that a step can be computed as the terms say.

    Raises:
        UserError: a codec is none or does not fit, an epoch is longer than the corpus, or what stages compute in does
            not go with the rest.
    """
    check_precision(precision, terms)
    order_of(terms, 0, batch_size).of(task)
    width = int(cut.config.hidden_size)
    sample = (int(task.evaluation_batch().tensors["input_ids"].shape[1]), width)
    for codec in codecs_of(terms):
        check_dims(codec, sample)
        if not isinstance(codec, Codec) and (entry := codec.entry_size(sample)) > CACHE_BYTES:
            raise UserError(
                f"the forward codec keeps {entry} bytes of a sample, but a boundary may keep {CACHE_BYTES}; choose "
                "none, fp16 or fixpoint"
            )


class StageBuilder:
    """Makes stages of one run.

    Attributes:
        manifest: of the run.
        terms: what it says of the pipeline.
        cut: the model.
    """

    def __init__(
        self, manifest: RunManifest, task: Task, directory: Path | None = None, behaviour: StageBehaviour = HONEST
    ) -> None:
        """Read what the run is.

        Args:
            directory: for what delta codecs keep; the system's for temporary files if None.
            behaviour: how the stage lies; most do not.

        Raises:
            UserError: the task is no language model's, its steps cannot be computed as the run says, or this version's
                model has another size.
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
        check_step(self.terms, task, self.cut, manifest.batch_size, Precision(manifest.precision))
        self._order = order_of(self.terms, manifest.seed, manifest.batch_size)
        self._batches = self._order.of(task)
        self._directory = Path(tempfile.gettempdir()) if directory is None else directory
        self._behaviour = behaviour

    @cached_property
    def optimizer(self) -> OptimizerPlan:
        """Of every stage."""
        terms = self.manifest
        schedule = Schedule(terms.learning_rate, terms.warmup_steps, terms.total_steps)
        kind, precision = OptimizerKind(self.terms.optimizer), Precision(terms.precision)
        return OptimizerPlan(kind, schedule, max_grad_norm=terms.max_grad_norm, precision=precision)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Samples, tokens and width of an activation of one micro-batch."""
        samples, sequence = self._batches(0)[0].tensors["input_ids"].shape
        return int(samples), int(sequence), int(self.cut.config.hidden_size)

    def plan(self, seating: Seating, replica: int = 0) -> PipelinePlan:
        """Return what the stages of a pipeline agree on in a seating.

        The replicas of a stage check each other when they average, so the stages of a pipeline do not.
        """
        terms = self.terms
        options = step_options(terms)
        if terms.replicas > 1:
            options |= {"checked": False, "recorded": True}
        return PipelinePlan(
            run=seating.pipeline_run(replica),
            roster=seating.pipeline(replica),
            order=PipelineOrder(terms.order),
            shape=self.shape,
            micro_batches=terms.micro_batches,
            batches=share_of(self._batches, replica, terms.micro_batches),
            step_seconds=terms.step_seconds,
            **options,
            samples=share_of(self._order.samples, replica, terms.micro_batches) if terms.epoch_samples else None,
            cache_directory=self._directory,
            cache_bytes=CACHE_BYTES,
            retry_seconds=min(_RETRY_SECONDS, terms.step_seconds / _ASKED_AGAIN),
            first_states=self._pledges if seating.step == 0 and seating.states == self.beginning else (),
        )

    def facts(self, seating: Seating, replica: int = 0) -> PlanFacts:
        """Return by what a stage of a pipeline may be judged in a seating."""
        with _BUILDING:
            return PlanFacts.of(self.plan(seating, replica), self.cut, self.optimizer)

    def all_steps(self, seating: Seating) -> AllSteps:
        """Return what tells a step of all pipelines; it remembers the newest ones, and what all steps share."""
        with _BUILDING:
            plans = [self.plan(seating, replica) for replica in range(self.terms.replicas)]
            facts = [PlanFacts.of(plan, self.cut, self.optimizer) for plan in plans]

        @lru_cache(maxsize=KEPT_STEPS + 1)
        def at(step: int) -> Sequence[ReplicaStep]:
            return [
                ReplicaStep(known, step, plan.batches(step), plan.ids(step))
                for known, plan in zip(facts, plans, strict=True)
            ]

        return at

    @cached_property
    def beginning(self) -> tuple[bytes, ...]:
        """What a seating names as the states before the first step."""
        return beginning_of(self.terms)

    @cached_property
    def _pledges(self) -> tuple[bytes, ...]:
        """Digest of each stage's state before the first step, as stages pledge it."""
        if self.terms.model is not None:
            return tuple(bytes.fromhex(first.pledge) for first in self.terms.model.stages)
        drawn = draw_weights(self.cut.config, self.manifest.seed)
        stages = range(self.cut.stages)
        return tuple(StageWorker(ModelStage(self.cut, stage, drawn), self.optimizer).state().digest for stage in stages)

    def rules(self, seating: Seating, stage: int) -> StepRules:
        """Return the rules by which the replicas of a stage average in a seating."""
        terms, shapes = self.terms, self.cut.shapes
        numbers = sum(math.prod(shapes[name]) for name in stage_names(self.cut, stage))
        deadlines = self.manifest.deadlines.model_copy(update={"commit": terms.step_seconds})
        averaging = AveragingRules(terms.tau, terms.share)
        return replica_rules(round_nonce(seating.messages_run, stage), numbers, terms.replicas, averaging, deadlines)

    def held_by(self, stage: int) -> tuple[int, ...]:
        """Return the stages whose weights the peer of a stage holds: its own, and the duplicate that it checks by."""
        return (stage, stage - 1) if self.terms.check == "live" and stage >= 2 else (stage,)

    def machine(
        self, seating: Seating, key: IdentityKey, seat: int, states: Mapping[int, Payload | None]
    ) -> StageMachine:
        """Return the stage of a seat, ready to begin the seating's step.

        Args:
            states: of the stages of `held_by`, None where the weights follow from the seed.

        Raises:
            UserError: a state is not one of its stage.
        """
        stage = seating.stage_of(seat)
        with _BUILDING:
            plan = self.plan(seating, seating.replica_of(seat))
            workers = {number: self._worker(number, state) for number, state in states.items()}
            if self.terms.replicas == 1:
                return StageMachine(plan, key, workers[stage], workers.get(stage - 1), self._behaviour)
        all_steps = self.all_steps(seating)
        return ReplicaMachine(plan, key, workers[stage], all_steps, self.terms.replicas, self._behaviour)

    def _worker(self, stage: int, state: Payload | None) -> KeptWorker:
        if state is None:
            drawn = draw_weights(self.cut.config, self.manifest.seed)
            return KeptWorker(ModelStage(self.cut, stage, drawn), self.optimizer)
        # Only what this stage holds is made: the whole model may be larger than this machine's memory.
        empty = {name: torch.empty(self.cut.shapes[name]) for name in stage_names(self.cut, stage)}
        worker = KeptWorker(ModelStage(self.cut, stage, empty), self.optimizer)
        worker.load_bytes(state)
        return worker

    @cached_property
    def _sizes(self) -> MessageSizes:
        largest = max(largest_message(codec, self.shape) for codec in codecs_of(self.terms))
        nobody = Seating(self.manifest.run, 1, 1, (), (DRAWN,) * self.cut.stages)
        return MessageSizes(self.plan(nobody), StepExchange(self.cut), largest, self.cut)

    @cached_property
    def most_message_bytes(self) -> int:
        """Bytes of the longest message of a stage."""
        places = [(kind, stage) for kind in StageMessageKind for stage in range(self.cut.stages)]
        return max(self._sizes.bounds(*place)[1] for place in places) + _FRAME_BYTES

    @property
    def most_record_bytes(self) -> int:
        """Bytes of what a replica shows of a step: all that it was sent and has sent, and what its caches held."""
        return min(MAX_CASE, 8 * self.terms.micro_batches * self.most_message_bytes + (1 << 20))

    @cached_property
    def most_pending_bytes(self) -> int:
        """Bytes that a stage may have sent another which that has not looked at.

        All of two steps, each done twice, and a record, a case and a verdict.
        """
        told = max(self._sizes.bounds(kind, stage)[1] for kind in _IN_STEPS for stage in range(self.cut.stages))
        steps = 4 * (2 * self.terms.micro_batches + 3) * (told + _FRAME_BYTES)
        return steps + (3 * self._chunks * (CHUNK_BYTES + _FRAME_BYTES))

    @property
    def most_waiting(self) -> int:
        """Messages that a stage may have for another one at once: all of a step, and those of its end."""
        return 4 * self.terms.micro_batches + 16 + 3 * self._chunks

    @property
    def _chunks(self) -> int:
        """Messages of a record or a case at most; none where stages do not check each other."""
        return self._sizes.chunks if self.terms.check != "none" and self.terms.replicas == 1 else 0

    @property
    def most_evidence_bytes(self) -> int:
        """Bytes of the file that proves a ban: a verdict with its case, in base64, and what stands around it; of
        replicas, whatever such a file may have."""
        if self.terms.replicas > 1:
            return MAX_FILE
        return self._chunks * CHUNK_BYTES * 4 // 3 + (1 << 20)

    @cached_property
    def most_state_bytes(self) -> int:
        """Bytes that the state of a stage has at most."""
        return _STATE_TIMES * 4 * self.manifest.dimension + (1 << 20)
