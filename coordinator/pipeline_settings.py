"""What a coordinator is told of a run whose model is cut into stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.configuration import Group, Option
from btard.configuration.shared.protocol import Deadline
from btard.errors import UserError
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.settings import StepSettings, TrialFamily
from btard.pipeline.stages.split import Split
from btard.swarm.pipeline_terms import MOST_MICRO_BATCHES, MOST_STAGES


class PipelineSettings(StepSettings):
    """The model's stages, and how a step goes through them; none of it counts without `pipeline`."""

    pipeline: Annotated[
        str | None,
        Option(
            "cut a model into stages that peers take, blocks of each as 2-3-1; none gives every peer the whole model",
            group=Group.PIPELINE,
        ),
    ] = None
    pipeline_partition: Annotated[
        Path | None,
        Option(
            "go on from a trained model: folder of btard pipeline partition; none draws a small one from the seed",
            group=Group.PIPELINE,
        ),
    ] = None
    pipeline_family: Annotated[TrialFamily, Option("architecture of the model", group=Group.PIPELINE)] = (
        TrialFamily.GPT2
    )
    pipeline_order: Annotated[
        PipelineOrder, Option("how forward and backward passes alternate", group=Group.PIPELINE)
    ] = PipelineOrder.ONE_FORWARD_ONE_BACKWARD
    pipeline_optimizer: Annotated[OptimizerKind, Option("of every stage", group=Group.PIPELINE)] = OptimizerKind.ADAMW
    micro_batches: Annotated[
        int,
        Field(ge=1, le=MOST_MICRO_BATCHES),
        Option("of a step, each of --batch-size samples", unit="micro-batches", group=Group.PIPELINE),
    ] = 4
    tie: Annotated[bool, Option("head and embedding are one weight, with a copy at each end", group=Group.PIPELINE)] = (
        False
    )
    replicas: Annotated[
        int,
        Field(ge=1, le=MOST_STAGES),
        Option(
            "pipelines beside each other, each with --micro-batches of its own; the replicas of a stage average their "
            "gradients by BTARD, clipped by --tau",
            unit="pipelines",
            group=Group.PIPELINE,
        ),
    ] = 1
    keep_stages_every: Annotated[
        int,
        Field(ge=1, le=1 << 20),
        Option(
            "steps from one state of all stages that is kept for a loss to the next", unit="steps", group=Group.PIPELINE
        ),
    ] = 10
    stage_timeout: Annotated[
        Deadline, Option("time until a step that is not over stands still", unit="seconds", group=Group.PIPELINE)
    ] = 120.0
    lost_after: Annotated[
        Deadline,
        Option("time in which a peer must answer, or another takes its stage", unit="seconds", group=Group.PIPELINE),
    ] = 10.0

    @field_validator("pipeline")
    @classmethod
    def _is_a_split(cls, text: str | None) -> str | None:
        try:
            stages = 0 if text is None else Split.parse(text).stages
        except UserError as error:
            raise ValueError(str(error)) from None
        if stages > MOST_STAGES:
            raise ValueError(f"has {stages} stages, but a run has at most {MOST_STAGES}")
        return text

    @model_validator(mode="after")
    def _belongs_to_a_pipeline(self) -> Self:
        own = PipelineSettings.model_fields
        given = sorted(name for name in own if name != "pipeline" and getattr(self, name) != own[name].default)
        if self.pipeline is None and given:
            raise ValueError(f"--{given[0].replace('_', '-')} is of runs in stages: give --pipeline, too, or leave it")
        for name in ("pipeline_family", "tie"):
            if self.pipeline_partition is not None and getattr(self, name) != own[name].default:
                raise ValueError(
                    f"--{name.replace('_', '-')} is not for --pipeline-partition, whose config.json says it"
                )
        return self
