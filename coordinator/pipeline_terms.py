"""From settings to what the manifest says of a pipeline."""

from __future__ import annotations

from btard.coordinator.settings import CoordinatorSettings
from btard.pipeline.live.build import check_step, cut_of, numbers_of
from btard.pipeline.settings import StepSettings
from btard.pipeline.stages.split import Split
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.base import Task
from btard.tasks.text import TextTask


def pipeline_terms(settings: CoordinatorSettings, task: Task) -> tuple[PipelineTerms, int]:
    """Return what the manifest says of the pipeline, and how many numbers the model has.

    Raises:
        UserError: the task has no text, or it or the model does not go with codecs or epochs.
    """
    assert settings.pipeline is not None
    split = Split.parse(settings.pipeline)
    terms = PipelineTerms(
        family=settings.pipeline_family.value,
        blocks=split.blocks,
        order=settings.pipeline_order.value,
        optimizer=settings.pipeline_optimizer.value,
        micro_batches=settings.micro_batches,
        tied=settings.tie,
        keep_every=settings.keep_stages_every,
        step_seconds=settings.stage_timeout,
        silent_seconds=settings.lost_after,
        **{name: getattr(settings, name) for name in StepSettings.model_fields},
    )
    cut = cut_of(terms, task)
    assert isinstance(task, TextTask)
    check_step(terms, task, cut, settings.batch_size)
    return terms, numbers_of(cut)
