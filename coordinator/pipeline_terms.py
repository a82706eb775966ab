"""From settings to what the manifest says of a pipeline."""

from __future__ import annotations

from pathlib import Path

from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.pipeline.live.build import check_step, cut_of, numbers_of, text_task
from btard.pipeline.live.held.first_states import make_first_states, read_partition
from btard.pipeline.replicas.rules import DEFAULT_TAU, check_averaging
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.settings import StepSettings
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import check_task_fits
from btard.swarm.pipeline_terms import MOST_STAGES, PipelineTerms
from btard.tasks.base import Schedule, Task


def pipeline_terms(
    settings: CoordinatorSettings, task: Task, schedule: Schedule, states: Path
) -> tuple[PipelineTerms, int]:
    """Return what the manifest says of the pipeline, and how many numbers the model has.

    Args:
        schedule: of the run's learning rate.
        states: where to write what the stages of a trained model begin with.

    Raises:
        UserError: the task has no text, or it or the model does not go with codecs or epochs.
    """
    assert settings.pipeline is not None
    text = text_task(task)
    split = Split.parse(settings.pipeline)
    trained = None if settings.pipeline_partition is None else read_partition(settings.pipeline_partition, split)
    if trained is not None and not trained.family.head:
        raise UserError(
            f"--pipeline-partition is {settings.pipeline_partition}, a model that classifies; a run trains on text"
        )
    if settings.replicas > 1:
        check_averaging(settings.replicas, settings, settings.precision)
        if split.stages * settings.replicas > MOST_STAGES:
            raise UserError(
                f"--pipeline has {split.stages} stages and --replicas is {settings.replicas}, but at most "
                f"{MOST_STAGES} peers may have a stage"
            )
    terms = PipelineTerms(
        family=settings.pipeline_family.value if trained is None else trained.family.model_type,
        blocks=split.blocks,
        order=settings.pipeline_order.value,
        optimizer=settings.pipeline_optimizer.value,
        micro_batches=settings.micro_batches,
        tied=settings.tie if trained is None else bool(trained.config.tie_word_embeddings),
        replicas=settings.replicas,
        tau=0.0 if settings.replicas == 1 else DEFAULT_TAU if settings.tau is None else settings.tau,
        keep_every=settings.keep_stages_every,
        step_seconds=settings.stage_timeout,
        silent_seconds=settings.lost_after,
        **{name: getattr(settings, name) for name in StepSettings.model_fields},
    )
    if trained is not None and settings.pipeline_partition is not None:
        check_task_fits(trained.config, text)
        optimizer = OptimizerPlan(settings.pipeline_optimizer, schedule, precision=settings.precision)
        model = make_first_states(settings.pipeline_partition, trained, optimizer, states)
        terms = terms.model_copy(update={"model": model})
    cut = cut_of(terms, text)
    check_step(terms, text, cut, settings.batch_size, settings.precision)
    return terms, numbers_of(cut)
