"""What a stranger must know of a plan to judge a stage by it; each stage signs its digest before every step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoConfig, PretrainedConfig

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.hexadecimal import HexName
from btard.identity import Malformed, PeerId
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.codecs import Codec, canonical_codec, make_codec
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.defence.comparison import ComputationCheck
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import ActivationCheck, Cut
from btard.pipeline.stages.split import MAX_STAGES, Split
from btard.tasks.base import Schedule
from btard.vocabulary import Precision

_MOST_NUMBER = 1 << 24
"""Beyond any size in a model's configuration: what a stranger writes there decides how long building it takes."""


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
    optimizer: dict[str, Any]
    first_states: Annotated[tuple[str, ...], Field(max_length=MAX_STAGES)]


@dataclass(frozen=True)
class PlanFacts:
    """A plan as far as it decides what a stage must say."""

    model: _Facts

    @classmethod
    def of(cls, plan: PipelinePlan, cut: Cut, optimizer: OptimizerPlan) -> PlanFacts:
        """Return the facts of a plan."""
        config = {key: value for key, value in cut.config.to_dict().items() if key != "transformers_version"}
        return cls(
            _Facts(
                run=plan.run.hex(),
                roster=tuple(str(peer) for peer in plan.roster),
                config=json.loads(json.dumps(config)),
                split=str(cut.split),
                forward_codec=canonical_codec(plan.forward_codec),
                backward_codec=canonical_codec(plan.backward_codec),
                raw_steps=plan.raw_steps,
                shape=plan.shape,
                micro_batches=plan.micro_batches,
                relative_error=plan.comparison.relative_error,
                code_share=plan.comparison.code_share,
                first_states=tuple(state.hex() for state in plan.first_states),
                optimizer={
                    "kind": optimizer.kind.value,
                    "learning_rate": optimizer.schedule.learning_rate,
                    "warmup_steps": optimizer.schedule.warmup_steps,
                    "total_steps": optimizer.schedule.total_steps,
                    "weight_decay": optimizer.weight_decay,
                    "max_grad_norm": optimizer.max_grad_norm,
                    "precision": optimizer.precision.value,
                    "first_exponent": optimizer.first_exponent,
                    "growth_steps": optimizer.growth_steps,
                },
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
        kind = self.model.config.get("model_type")
        if kind not in families():
            raise ValueError(f"models of type {kind!r} are not cut into stages")
        config: PretrainedConfig = AutoConfig.for_model(**self.model.config)
        check = ActivationCheck.EXACT if self.comparison.exact else ActivationCheck.TOLERANT
        return Cut(config, Split.parse(self.model.split), check)

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
        schedule = Schedule(told["learning_rate"], told["warmup_steps"], told["total_steps"])
        return OptimizerPlan(
            OptimizerKind(told["kind"]),
            schedule,
            told["weight_decay"],
            told["max_grad_norm"],
            Precision(told["precision"]),
            told["first_exponent"],
            told["growth_steps"],
        )


def _numbers(value: Any) -> list[float]:
    """Return all numbers in a value of JSON."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for each in inner for number in _numbers(each)]
