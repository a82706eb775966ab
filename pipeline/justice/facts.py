"""What a stranger must know of a plan to judge a stage by it; each stage signs its digest before every step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.hexadecimal import HexName
from btard.identity import Malformed, PeerId
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.codecs import Codec, canonical_codec, make_codec
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.defence.comparison import ComputationCheck
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.loss_scale import MOST_EXPONENT
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.stages.model_stage import ActivationCheck, Cut
from btard.pipeline.stages.split import MAX_STAGES, Split
from btard.pipeline.stages.trained import config_facts, config_of
from btard.tasks.base import Schedule
from btard.vocabulary import Precision

_MOST_NUMBER = 1 << 24
"""Beyond any size in a model's configuration: what a stranger writes there decides how long building it takes."""


_MOST_STEPS = 1 << 40
_Real = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Optimizer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OptimizerKind
    learning_rate: _Real
    warmup_steps: Annotated[int, Field(ge=0, lt=_MOST_STEPS)]
    total_steps: Annotated[int, Field(gt=0, le=_MOST_STEPS)]
    weight_decay: _Real
    max_grad_norm: _Real | None
    precision: Precision
    first_exponent: Annotated[int, Field(ge=0, le=MOST_EXPONENT)]
    growth_steps: Annotated[int, Field(ge=1, le=_MOST_STEPS)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    run: HexName
    roster: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_STAGES)]
    config: dict[str, Any]
    split: str
    forward_codec: str
    backward_codec: str
    raw_steps: Annotated[int, Field(ge=0)]
    shape: tuple[int, int, int]
    micro_batches: Annotated[int, Field(ge=1, le=1 << 16)]
    relative_error: Annotated[float, Field(ge=0, lt=1)]
    code_share: Annotated[float, Field(ge=0, lt=1)]
    optimizer: _Optimizer
    first_states: Annotated[tuple[str, ...], Field(max_length=MAX_STAGES)]


@dataclass(frozen=True)
class PlanFacts:
    """A plan as far as it decides what a stage must say."""

    model: _Facts

    @classmethod
    def of(cls, plan: PipelinePlan, cut: Cut, optimizer: OptimizerPlan) -> PlanFacts:
        """Return the facts of a plan."""
        schedule = optimizer.schedule
        return cls(
            _Facts(
                run=plan.run.hex(),
                roster=tuple(str(peer) for peer in plan.roster),
                config=config_facts(cut.config),
                split=str(cut.split),
                forward_codec=canonical_codec(plan.forward_codec),
                backward_codec=canonical_codec(plan.backward_codec),
                raw_steps=plan.raw_steps,
                shape=plan.shape,
                micro_batches=plan.micro_batches,
                relative_error=plan.comparison.relative_error,
                code_share=plan.comparison.code_share,
                first_states=tuple(state.hex() for state in plan.first_states),
                optimizer=_Optimizer(
                    kind=optimizer.kind,
                    learning_rate=schedule.learning_rate,
                    warmup_steps=schedule.warmup_steps,
                    total_steps=schedule.total_steps,
                    weight_decay=optimizer.weight_decay,
                    max_grad_norm=optimizer.max_grad_norm,
                    precision=optimizer.precision,
                    first_exponent=optimizer.first_exponent,
                    growth_steps=optimizer.growth_steps,
                ),
            )
        )

    def encode(self) -> bytes:
        """Return the canonical bytes: JSON with its keys in order."""
        return json.dumps(self.model.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> PlanFacts:
        """Read bytes from a stranger; raises Malformed."""
        try:
            facts = cls(_Facts.model_validate_json(data))
            if facts.encode() != data or any(abs(number) > _MOST_NUMBER for number in _numbers(facts.model.config)):
                raise Malformed("not the facts of a plan")
            if len(facts.model.first_states) not in (0, facts.cut.stages) or len(facts.roster) != facts.cut.stages:
                raise Malformed("not the facts of a plan")
            _ = facts.cut, facts.roster, facts.forward_codec, facts.backward_codec, facts.comparison, facts.optimizer
        except (ValueError, UserError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Malformed(f"not the facts of a plan: {error}") from None
        return facts

    @cached_property
    def digest(self) -> bytes:
        """What a stage signs."""
        return tagged_digest("btard pipeline facts", self.encode())

    @property
    def run(self) -> bytes:
        """The run's name."""
        return bytes.fromhex(self.model.run)

    @cached_property
    def roster(self) -> tuple[PeerId, ...]:
        """The peer of each stage."""
        return tuple(PeerId.parse(text) for text in self.model.roster)

    @cached_property
    def cut(self) -> Cut:
        """The model and its stages."""
        split = Split.parse(self.model.split)
        config = config_of(self.model.config, sum(split.blocks))
        check = ActivationCheck.EXACT if self.comparison.exact else ActivationCheck.TOLERANT
        return Cut(config, split, check)

    @cached_property
    def forward_codec(self) -> Codec | DeltaCodec:
        """The codec of activations."""
        return make_codec(self.model.forward_codec)

    @cached_property
    def backward_codec(self) -> Codec:
        """The codec of gradients."""
        codec = make_codec(self.model.backward_codec)
        if not isinstance(codec, Codec):
            raise ValueError("gradients have a codec that remembers")
        return codec

    @property
    def comparison(self) -> ComputationCheck:
        """When two computations are the same."""
        return ComputationCheck(self.model.relative_error, self.model.code_share)

    @cached_property
    def optimizer(self) -> OptimizerPlan:
        """How weights follow gradients."""
        told = self.model.optimizer
        return OptimizerPlan(
            told.kind,
            Schedule(told.learning_rate, told.warmup_steps, told.total_steps),
            told.weight_decay,
            told.max_grad_norm,
            told.precision,
            told.first_exponent,
            told.growth_steps,
        )


def _numbers(value: Any) -> list[float]:
    """Return all numbers in a value of JSON."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for each in inner for number in _numbers(each)]
