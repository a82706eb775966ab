"""What a manifest says of a run whose model is cut into stages."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from btard.hexadecimal import HexDigest

MOST_STAGES = 256
"""Stages of a run; as many peers as a first roster may have."""

MOST_BLOCKS = 4096
MOST_MICRO_BATCHES = 1024

MOST_SAMPLES = 1 << 40
"""In an epoch."""

MOST_CONFIG = 8 << 10
"""Bytes of a model's configuration."""

_CodecText = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(gt=0, le=86400)]


class FirstStage(BaseModel):
    """What a stage of a trained model begins with.

    Attributes:
        state: digest of its state as it travels, in hex.
        pledge: digest of its state as stages pledge it, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: HexDigest
    pledge: HexDigest


class ModelTerms(BaseModel):
    """A trained model that a run goes on from.

    Attributes:
        config: JSON, as `transformers` writes it.
        stages: what each stage begins with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Annotated[str, Field(min_length=2, max_length=MOST_CONFIG)]
    stages: Annotated[tuple[FirstStage, ...], Field(min_length=1, max_length=MOST_STAGES)]


class PipelineTerms(BaseModel):
    """The model, how it is cut, and how a step goes.

    The samples of a micro-batch are the run's `batch_size`; learning rate, clipping, seed and data are the run's own.

    Attributes:
        family: the architecture.
        model: that the run goes on from; None for a small one that follows from the seed.
        blocks: of each stage, first stage first.
        order: how forward and backward passes alternate.
        optimizer: of every stage.
        micro_batches: of a step.
        tied: whether head and embedding are one weight, with a copy at each end.
        epoch_samples: training samples that come again in every epoch; 0 draws from all.
        forward_codec: of activations.
        backward_codec: of gradients.
        raw_steps: first ones, in which nothing is compressed.
        check: how stages check each other.
        share: probability that a stage's step is computed again.
        relative_error: most by which two computations may differ and count as the same.
        code_share: most entries of which codes may differ by one, and count as the same.
        after_alarm: whether the suspects are passed by, or all do the step again.
        ban: whether liars lose their seats.
        trusted_relay: whether all activations come over a relay that all trust.
        replicas: pipelines beside each other, each with micro-batches of its own.
        tau: clipping radius of a part of a stage's gradients, where replicas average them; 0 for a single pipeline.
        keep_every: steps from one state that is kept to the next.
        step_seconds: until a step that is not over stands still.
        silent_seconds: until a peer that does not answer the coordinator has lost its seat.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Annotated[str, Field(pattern="^(gpt2|opt|bloom)$")]
    model: ModelTerms | None = None
    blocks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_BLOCKS)], ...], Field(min_length=1, max_length=MOST_STAGES)
    ]
    order: Annotated[str, Field(pattern="^(gpipe|1f1b)$")]
    optimizer: Annotated[str, Field(pattern="^(adamw|adam|sgd)$")]
    micro_batches: Annotated[int, Field(ge=1, le=MOST_MICRO_BATCHES)]
    tied: bool
    epoch_samples: Annotated[int, Field(ge=0, le=MOST_SAMPLES)]
    forward_codec: _CodecText
    backward_codec: _CodecText
    raw_steps: Annotated[int, Field(ge=0, le=1 << 32)]
    check: Annotated[str, Field(pattern="^(live|drawn|none)$")]
    share: Annotated[float, Field(ge=0, le=1)]
    relative_error: Annotated[float, Field(ge=0, lt=1)]
    code_share: Annotated[float, Field(ge=0, lt=1)]
    after_alarm: Annotated[str, Field(pattern="^(skip|restart)$")]
    ban: bool
    trusted_relay: bool
    replicas: Annotated[int, Field(ge=1, le=MOST_STAGES)] = 1
    tau: Annotated[float, Field(ge=0)] = 0.0
    keep_every: Annotated[int, Field(ge=1, le=1 << 20)]
    step_seconds: _Seconds
    silent_seconds: _Seconds

    @model_validator(mode="after")
    def _fits(self) -> PipelineTerms:
        if sum(self.blocks) > MOST_BLOCKS:
            raise ValueError(f"the stages have {sum(self.blocks)} blocks, but at most {MOST_BLOCKS} are allowed")
        if self.model is not None and len(self.model.stages) != len(self.blocks):
            raise ValueError(f"the model has {len(self.model.stages)} stages, but is cut into {len(self.blocks)}")
        if self.seats > MOST_STAGES:
            raise ValueError(f"{self.seats} peers would have a stage, but at most {MOST_STAGES} are allowed")
        if (self.replicas > 1) != (self.tau > 0):
            raise ValueError("gradients are clipped where there are replicas, and nowhere else")
        return self

    @property
    def seats(self) -> int:
        """How many peers have a stage."""
        return self.stages * self.replicas

    @property
    def stages(self) -> int:
        """How many stages a pipeline has."""
        return len(self.blocks)
