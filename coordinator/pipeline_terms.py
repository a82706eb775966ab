"""From settings to what the manifest says of a pipeline."""

from __future__ import annotations

from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.pipeline.live.build import cut_of, numbers_of
from btard.pipeline.stages.split import Split
from btard.swarm.pipeline_terms import MOST_STAGES, PipelineTerms
from btard.tasks.base import Task
from btard.vocabulary import Precision


def pipeline_terms(settings: CoordinatorSettings, task: Task) -> tuple[PipelineTerms, int]:
    """Return what the manifest says of the pipeline, and how many numbers the model has.

    Raises:
        UserError: no such split, a task without text, or settings that a pipeline has not.
    """
    assert settings.pipeline is not None
    split = Split.parse(settings.pipeline)
    if split.stages > MOST_STAGES:
        raise UserError(f"--pipeline has {split.stages} stages, but a run has at most {MOST_STAGES}")
    for wrong, flag in (
        (settings.precision is not Precision.FLOAT32, "precision"),
        (settings.initial_state is not None, "initial-state"),
        (settings.checkpoint_every or settings.checkpoint_steps, "checkpoint-every or --checkpoint-at"),
    ):
        if wrong:
            raise UserError(f"--{flag} is not of runs in stages; leave it away, or leave --pipeline away")
    terms = PipelineTerms(
        family=settings.pipeline_family.value,
        blocks=split.blocks,
        order=settings.pipeline_order.value,
        optimizer=settings.pipeline_optimizer.value,
        micro_batches=settings.micro_batches,
        tied=settings.tie,
        checked=settings.check_stages,
        trusted_relay=settings.trusted_relay,
        keep_every=settings.keep_stages_every,
        step_seconds=settings.stage_timeout,
        silent_seconds=settings.lost_after,
    )
    return terms, numbers_of(cut_of(terms, task))
