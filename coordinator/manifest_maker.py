"""Makes the run's manifest from the settings, or finds that the directory's run goes on with the same ones."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from btard.aggregation import rule_and_tau
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.settings import DEFAULT_TAU, CoordinatorSettings
from btard.errors import UserError
from btard.round.aggregates import check_aggregation
from btard.round.rules import NONCE_SIZE, AggregationRules
from btard.swarm.manifest import Deadlines, RunManifest, RunTerms
from btard.swarm.members import read_members, shown
from btard.swarm.pipeline_terms import PipelineTerms
from btard.swarm.tolerance import Tolerance
from btard.tasks.base import Schedule, Task
from btard.tasks.data.hub import HubAccess, pinned
from btard.tasks.data.public import PublicData
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.registry import check_task, load_task
from btard.tasks.training_state import TrainingState
from btard.version import PROTOCOL_VERSION

if TYPE_CHECKING:
    from btard.pipeline.live.held.first_states import FirstStates

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 5

PEERS_A_VALIDATOR = 16
"""Peers for each validator of a step, where the settings do not say."""

_SETTING_OF = {
    "task_settings": "task",
    "fingerprint": "data",
    "dimension": "size",
    "start_step": "initial_state",
    "max_part_norm": "clip",
    "accuse": "tolerance",
    "convict": "tolerance",
    "state_digest": "initial_state",
}
"""The setting that decides a field of the manifest, where the names differ."""


@dataclass(frozen=True)
class PreparedRun:
    """What the coordinator begins with.

    Attributes:
        manifest: of the run.
        state: a training state on the CPU, to load checkpoints into; None of a run in stages.
        initial: serialised state at `start_step` that peers download; None when they draw it from the seed.
        resumed: whether the run was begun before.
        task: of a run in stages; None of others, whose task is in `state`.
        first_states: of a run that goes on from a trained model in stages; None of others.
    """

    manifest: RunManifest
    state: TrainingState | None
    initial: bytes | None
    resumed: bool
    task: Task | None = None
    first_states: FirstStates | None = None


def prepare_run(settings: CoordinatorSettings, directory: RunDirectory) -> PreparedRun:
    """Load the task and return the run, with its manifest written to the directory.

    Raises:
        UserError: bad data or checkpoint, settings that do not fit together or contradict the directory's run.
    """
    check_task(settings.task, settings.size)
    rule, tau = rule_and_tau(settings.rule, settings.tau, DEFAULT_TAU)
    check_aggregation(AggregationRules(rule, tau, settings.peers), settings.auditors)
    stored = directory.load_manifest()
    if stored is not None and directory.finished:
        raise UserError(f"the run in {directory.path} is finished; give another --directory for a new one")
    # The owner of this machine has chosen these data, so their size needs no leave.
    access = HubAccess(most_bytes=None, signed_in=True)
    spec = pinned(_as_before(DataSpec.parse(settings.data, settings.tokenizer), stored), access)
    task = load_task(settings.task, settings.size, spec, settings.cache_dir, access=access)
    schedule = _schedule(settings, task)
    model = _model(settings, task, schedule, directory)
    nonce = settings.nonce or (stored.nonce if stored is not None else secrets.token_hex(NONCE_SIZE))
    manifest = _manifest(settings, model, task, spec, schedule, nonce, rule, tau)
    if settings.same_randomness:
        logger.warning(
            "--same-randomness: after a pause liars know what a repeated step draws; use it to compare experiments only"
        )
    if stored is not None:
        _check_same(manifest, stored, directory.path)
    else:
        try:
            directory.write_text(directory.manifest_file, manifest.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {directory.manifest_file}: {error.strerror}") from None
    staged = task if model.pipeline is not None else None
    return PreparedRun(
        manifest,
        model.state,
        model.initial,
        resumed=stored is not None,
        task=staged,
        first_states=_first_states(model, directory),
    )


@dataclass(frozen=True)
class _Model:
    """What is trained, and where it begins.

    Attributes:
        state, initial: see `PreparedRun`.
        pipeline: how it is cut; None where every peer has all of it.
    """

    dimension: int
    state: TrainingState | None = None
    initial: bytes | None = None
    start_step: int = 0
    pipeline: PipelineTerms | None = None


def _first_states(model: _Model, directory: RunDirectory) -> FirstStates | None:
    if model.pipeline is None or model.pipeline.model is None:
        return None
    from btard.pipeline.live.build import beginning_of
    from btard.pipeline.live.held.first_states import FirstStates

    return FirstStates(directory.first_states, beginning_of(model.pipeline))


def _model(settings: CoordinatorSettings, task: Task, schedule: Schedule, directory: RunDirectory) -> _Model:
    if settings.pipeline is not None:
        # It imports transformers, for which other runs need not wait.
        from btard.coordinator.pipeline_terms import pipeline_terms

        terms, dimension = pipeline_terms(settings, task, schedule, directory.first_states)
        return _Model(dimension, pipeline=terms)
    state = TrainingState(task, settings.seed, schedule, device=torch.device("cpu"))
    if settings.initial_state is None:
        return _Model(state.dimension, state)
    start_step = state.load_checkpoint(settings.initial_state).step
    return _Model(state.dimension, state, state.state_bytes(), start_step)


def _as_before(spec: DataSpec, stored: RunManifest | None) -> DataSpec:
    """A run that goes on keeps to the commit of the Hub data set that it began with."""
    if stored is None or spec.revision is not None or spec.kind is not SourceKind.HUB:
        return spec
    before = stored.data
    if (spec.location, spec.configuration) != (before.name, before.configuration):
        return spec
    return spec.model_copy(update={"revision": before.revision})


def _schedule(settings: CoordinatorSettings, task: Task) -> Schedule:
    own = task.schedule
    total = settings.total_steps if settings.total_steps is not None else own.total_steps
    warmup = settings.warmup_steps
    if warmup is None:
        # The task's own warm-up is made for its own length; a short trial would be all warm-up.
        warmup = min(own.warmup_steps, total // _WARMUP_SHARE)
    rate = settings.learning_rate if settings.learning_rate is not None else own.learning_rate
    if not warmup < total:
        raise UserError(f"the warm-up of {warmup} steps must be shorter than the run of {total} steps")
    return Schedule(rate, warmup, total)


def _manifest(
    settings: CoordinatorSettings,
    model: _Model,
    task: Task,
    spec: DataSpec,
    schedule: Schedule,
    nonce: str,
    rule: str,
    tau: float,
) -> RunManifest:
    start_step = model.start_step
    if start_step >= schedule.total_steps:
        raise UserError(
            f"the checkpoint of --initial-state is at step {start_step}, but the run has only {schedule.total_steps} "
            "steps: give a larger --total-steps"
        )
    try:
        return RunManifest.of(
            {
                "nonce": nonce,
                "experiment": settings.experiment,
                "task": task.name,
                "size": settings.size,
                "task_settings": task.settings.values,
                "data": PublicData.of(spec),
                "fingerprint": task.fingerprint,
                "dimension": model.dimension,
                "batch_size": settings.batch_size,
                "learning_rate": schedule.learning_rate,
                "warmup_steps": schedule.warmup_steps,
                "total_steps": schedule.total_steps,
                "max_grad_norm": settings.max_grad_norm or None,
                "precision": settings.precision.value,
                "rule": rule,
                "tau": tau,
                "wire": settings.wire.value,
                "momentum": settings.momentum,
                "max_part_norm": settings.clip,
                "validators": _validators(settings),
                "validation": settings.validation.value,
                **_thresholds(settings, task.label),
                "eliminate": settings.eliminate.value,
                "probation": settings.probation,
                "auditors": settings.auditors,
                "slowest": settings.slowest,
                "same_randomness": settings.same_randomness,
                "members": () if settings.members is None else read_members(settings.members, settings.peers),
                "peers": settings.peers if model.pipeline is None else model.pipeline.seats,
                "pipeline": model.pipeline,
                "deadlines": Deadlines(
                    commit=settings.commit_timeout,
                    scatter=settings.scatter_timeout,
                    gather=settings.gather_timeout,
                    agree=settings.agree_timeout,
                    settle=settings.settle_timeout,
                ),
                "seed": settings.seed,
                "start_step": start_step,
                "state_digest": None if model.state is None or model.initial is None else model.state.digest().hex(),
                "checkpoint_every": settings.checkpoint_every,
                "checkpoint_at": settings.checkpoint_steps,
                "metrics_period": settings.metrics_period,
            }
        )
    except ValidationError as error:
        report = error.errors(include_url=False)[0]
        where = ".".join(map(str, report["loc"])) or "the settings"
        raise UserError(f"{where} cannot be part of a run: {report['msg']}") from None


def _validators(settings: CoordinatorSettings) -> float:
    return settings.peers / PEERS_A_VALIDATOR if settings.validators is None else settings.validators


def _thresholds(settings: CoordinatorSettings, task: str) -> dict[str, float]:
    """Return the thresholds of a calibration file, or nothing for the defaults.

    Raises:
        UserError: no such file, or not one for this task.
    """
    if settings.tolerance is None:
        return {}
    measured = Tolerance.read(settings.tolerance, task, settings.size)
    return {"accuse": measured.accuse, "convict": measured.convict}


def _check_same(wanted: RunManifest, stored: RunManifest, path: Path) -> None:
    """Raise a UserError that names the first setting in which the two differ."""
    if stored.protocol != PROTOCOL_VERSION:
        raise UserError(f"the run in {path} was begun by another version of btard; give another --directory")
    for name in RunTerms.model_fields:
        mine, theirs = getattr(wanted, name), getattr(stored, name)
        if mine == theirs:
            continue
        setting = _SETTING_OF.get(name, name)
        if isinstance(mine, Deadlines):
            name = next(field for field in Deadlines.model_fields if getattr(mine, field) != getattr(theirs, field))
            mine, theirs = getattr(mine, name), getattr(theirs, name)
            setting = f"{name}_timeout"
        here, there = _shown(mine, name), _shown(theirs, name)
        raise UserError(
            f"--{setting.replace('_', '-')} contradicts the run that was begun in {path} ({name} is {here}, "
            f"there it is {there}): give the same settings to go on, or another --directory for a new run"
        )


def _shown(value: object, name: str) -> str:
    if name == "members" and isinstance(value, tuple):
        return shown(value)
    return value.model_dump_json(exclude_defaults=True) if isinstance(value, PublicData) else str(value)
