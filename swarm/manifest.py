"""The run manifest: everything that all peers of a run must agree on, signed by its coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_serializer,
    model_validator,
)

from btard.aggregation import canonical
from btard.configuration.named import Named
from btard.configuration.rule import MOST_RULE
from btard.errors import UserError
from btard.hexadecimal import HexDigest, HexName
from btard.identity import Envelope, Malformed, PeerId
from btard.round.rules import AggregationRules, StepRules, VerificationRules
from btard.swarm.members import MAX_LISTED, MemberList
from btard.swarm.pipeline_terms import MOST_CONFIG, MOST_STAGES, PipelineTerms
from btard.tasks.data.public import PublicData
from btard.version import PROTOCOL_VERSION
from btard.vocabulary import (
    LEAST_SLOWEST,
    MAX_BATCH,
    MAX_FIRST_ROSTER,
    MAX_STEPS,
    MAX_VALIDATORS,
    MOST_SLOWEST,
    SEEDS,
    SLOWEST,
    Eliminate,
    Validation,
    WireType,
)

MAX_MANIFEST = (16 << 10) + 56 * MAX_LISTED + 2 * MOST_CONFIG + 160 * MOST_STAGES
"""Bytes: a list of members has up to 55 for each, a trained model a configuration and two digests a stage; all the rest
is small."""

MAX_MANIFEST_ENVELOPE = MAX_MANIFEST + 256
"""Bytes of a manifest with the coordinator's signature."""

Seconds = Annotated[float, Field(gt=0, le=86400)]
Word = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$")]


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have no characters that cannot be printed")
    return text


def _kept_rule(text: str) -> str:
    try:
        kept = canonical(text)
    except UserError as error:
        raise ValueError(str(error)) from None
    if kept != text:
        raise ValueError(f"the aggregation rule {text} must be written {kept}")
    return text


RuleText = Annotated[str, Field(max_length=MOST_RULE), AfterValidator(_kept_rule)]
Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_shown)]
Key = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,49}$")]
_Within = Field(gt=-(2**63), lt=2**63)
TaskValue = StrictBool | Annotated[StrictInt, _Within] | Annotated[StrictFloat, _Within] | Word
"""A setting of a task's own, before the task itself reads it: a switch, a number, or the name of a choice."""
Period = Annotated[float, Field(ge=0.05, le=86400)]


class Deadlines(BaseModel):
    """Seconds that the phases of a step may take; `settle` bounds the travel time of one small message."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    commit: Seconds = 120.0
    scatter: Seconds = 60.0
    gather: Seconds = 60.0
    agree: Seconds = 20.0
    settle: Seconds = 3.5


class RunTerms(BaseModel):
    """What a run is, but for its name.

    Attributes:
        nonce: 16 random bytes in hex, so that two runs with equal rules have two names.
        experiment: the run's name for people.
        task, size: of those that are installed here.
        task_settings: the task's own, all of them with their values; what they may be is for the task to say. Left out
            of the JSON where there are none.
        data: what everybody can have; of a corpus on the coordinator's machine only that there is one.
        fingerprint: of the task's data; a peer with another one is refused.
        dimension: numbers in a gradient; a peer whose model has another number cannot take part.
        batch_size: samples that each peer computes on in a step.
        learning_rate, warmup_steps, total_steps: the schedule; the run ends after step `total_steps` - 1.
        max_grad_norm: honest peers scale longer gradients down to this norm; None for never.
        precision: arithmetic of forward and backward: none, bf16 or fp16.
        rule: the aggregation rule with its parameters, of those that are installed here.
        tau: clipping radius of a part at `peers` members (see AggregationRules).
        momentum: share of a peer's last vector in its next one (see `btard.vectors.momentum`); 0 for none.
        peers: how many the first roster has.
        start_step: the first step; above 0 the run resumes a checkpoint.
        state_digest: of the training state at `start_step` that the coordinator serves; None: drawn from `seed`.
        checkpoint_every, checkpoint_at: the steps before which peers keep a snapshot for the coordinator.
        momentum: share of a peer's last vector in the next one that it sends.
        max_part_norm: longest vector in BTARD-Clipped-SGD (see AggregationRules.max_norm); None: no limit.
        validators, validation, accuse, convict, eliminate, probation: see VerificationRules.
        auditors: see VerificationRules; left out of the JSON where it is None.
        slowest: see StepRules; left out of the JSON where it is the default.
        same_randomness: see StepRules; left out of the JSON where it is false.
        members: the only keys that may become members; none for all. Left out of the JSON where there are none. No rule
            of a step, so the run's name does not follow from it: a list binds the members that admit others.
        pipeline: how the model is cut into stages that peers take; left out of the JSON where every peer has all of it.
        metrics_period: seconds between two publications of a peer's metrics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    protocol: int = PROTOCOL_VERSION
    nonce: HexName
    experiment: Title
    task: Word
    size: Word
    task_settings: Annotated[dict[Key, TaskValue], Field(max_length=50)] = Field(default_factory=dict)
    data: PublicData
    fingerprint: HexDigest
    dimension: Annotated[int, Field(ge=1, lt=2**40)]
    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0, lt=MAX_STEPS)]
    total_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    max_grad_norm: Annotated[float, Field(gt=0)] | None
    precision: Annotated[str, Field(pattern="^(none|bf16|fp16)$")]
    rule: RuleText
    tau: Annotated[float, Field(gt=0)]
    wire: WireType
    peers: Annotated[int, Field(ge=1, le=MAX_FIRST_ROSTER)]
    deadlines: Deadlines
    seed: Annotated[int, Field(ge=0, lt=SEEDS)]
    start_step: Annotated[int, Field(ge=0, lt=MAX_STEPS)] = 0
    state_digest: HexDigest | None = None
    checkpoint_every: Annotated[int, Field(ge=0, le=MAX_STEPS)] = 0
    checkpoint_at: Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_STEPS)], ...], Field(max_length=1024)] = ()
    metrics_period: Period = 2.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_part_norm: Annotated[float, Field(gt=0)] | None = None
    validators: Annotated[float, Field(ge=0, le=MAX_VALIDATORS)] = 0.0
    validation: Validation = Validation.TOLERANT
    accuse: Annotated[float, Field(gt=0)] = 0.05
    convict: Annotated[float, Field(gt=0)] = 0.025
    eliminate: Eliminate = Eliminate.SUSPEND
    probation: Annotated[int, Field(ge=0, lt=2**31)] = 0
    auditors: Annotated[int, Field(ge=1, le=MAX_FIRST_ROSTER)] | None = None
    slowest: Annotated[float, Field(ge=LEAST_SLOWEST, le=MOST_SLOWEST)] = SLOWEST
    same_randomness: bool = False
    members: MemberList = ()
    pipeline: PipelineTerms | None = None

    @model_serializer(mode="wrap")
    def _leave_out_what_is_empty(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        written: dict[str, object] = serialise(self)
        if not self.task_settings:
            written.pop("task_settings", None)
        if self.auditors is None:
            written.pop("auditors", None)
        if self.slowest == SLOWEST:
            written.pop("slowest", None)
        if not self.same_randomness:
            written.pop("same_randomness", None)
        if not self.members:
            written.pop("members", None)
        if self.pipeline is None:
            written.pop("pipeline", None)
        return written

    @model_validator(mode="after")
    def _steps_fit(self) -> RunTerms:
        if not self.start_step < self.total_steps:
            raise ValueError(f"the run starts at step {self.start_step}, but has only {self.total_steps} steps")
        if not self.warmup_steps < self.total_steps:
            raise ValueError(f"the warm-up has {self.warmup_steps} steps, but the run only {self.total_steps}")
        return self

    @model_validator(mode="after")
    def _thresholds_fit(self) -> RunTerms:
        if not self.convict < self.accuse:
            raise ValueError(f"convict is {self.convict:g}, but must be below accuse, which is {self.accuse:g}")
        if not self.accuse / 4 <= self.convict <= self.accuse / 2:
            raise ValueError(
                f"convict is {self.convict:g}, but must lie between a quarter and a half of accuse, "
                f"which is {self.accuse:g}: machines differ, and an honest accuser must not be found false"
            )
        return self

    @property
    def chosen_task(self) -> Named:
        """The task with its settings; as text, what a user would type."""
        return Named(self.task, self.task_settings)

    @cached_property
    def step_rules(self) -> StepRules:
        """The part that a round needs, from which the run's name follows."""
        limits = self.deadlines
        return StepRules(
            nonce=bytes.fromhex(self.nonce),
            dimension=self.dimension,
            wire=self.wire,
            commit_seconds=limits.commit,
            scatter_seconds=limits.scatter,
            gather_seconds=limits.gather,
            agree_seconds=limits.agree,
            delay_bound_seconds=limits.settle,
            aggregation=AggregationRules(self.rule, self.tau, self.peers, self.max_part_norm),
            verification=VerificationRules(
                validators=self.validators,
                validation=self.validation,
                accuse=self.accuse,
                convict=self.convict,
                eliminate=self.eliminate,
                probation=self.probation,
                momentum=self.momentum,
                auditors=self.auditors,
            ),
            slowest=None if self.slowest == SLOWEST else self.slowest,
            same_randomness=self.same_randomness or None,
        )

    def admits(self, peer: PeerId) -> bool:
        """Whether a peer may become a member as far as its key is concerned."""
        return not self.members or str(peer) in self._listed

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.members)

    def wants_snapshot(self, step: int) -> bool:
        """Whether the state before this step (after the last one, for `total_steps`) is to be kept as a checkpoint."""
        if step == self.start_step:
            return False
        regular = self.checkpoint_every > 0 and step % self.checkpoint_every == 0
        return regular or step in self.checkpoint_at or step == self.total_steps


class RunManifest(RunTerms):
    """What a run is. Travels as JSON in the body of a MANIFEST envelope.

    Attributes:
        run_id: 16 bytes in hex, the name of the run: it follows from the nonce and the rules of a step.
    """

    run_id: HexName

    @classmethod
    def of(cls, terms: Mapping[str, object]) -> RunManifest:
        """Return the manifest of a run on these terms, with the name that follows; raises ValidationError."""
        read = RunTerms.model_validate(terms)
        return cls.model_validate({**read.model_dump(), "run_id": read.step_rules.run.hex()})

    @model_validator(mode="after")
    def _is_named_by_its_rules(self) -> RunManifest:
        if self.run != self.step_rules.run:
            raise ValueError(
                f"it names the run {self.run_id}, but its rules and its nonce make the run {self.step_rules.run.hex()}"
            )
        return self

    @property
    def run(self) -> bytes:
        """16 bytes that name the run."""
        return bytes.fromhex(self.run_id)

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> RunManifest:
        """Read a manifest from the network.

        Raises:
            Malformed: no valid manifest, or the envelope names another run.
        """
        if len(envelope.body) > MAX_MANIFEST:
            raise Malformed("the manifest is too long")
        try:
            manifest = cls.model_validate_json(envelope.body)
        except ValidationError as error:
            raise Malformed(f"no valid manifest: {error.errors()[0]['msg']}") from None
        if manifest.run != envelope.run:
            raise Malformed("the manifest names another run")
        return manifest
