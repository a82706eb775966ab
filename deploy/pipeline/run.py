"""Runs a pipeline of real processes from the first to the last, and leaves nothing behind whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from btard.deploy.local.interrupt import Interrupt
from btard.deploy.local.nursery_client import NurseryClient, last_lines
from btard.deploy.local.plan import COORDINATOR
from btard.deploy.pipeline.processes import PRELOAD, StageProcesses, StageProcessesPlan, environment
from btard.errors import UserError
from btard.pipeline.settings import TrialSettings
from btard.pipeline.stages.split import Split
from btard.vocabulary import NO_ATTACK

_TICK_SECONDS = 0.25
_TELL_EVERY = 10
"""Steps between two lines."""

_STEP_SECONDS = 30.0
"""Seconds for which an interrupted run waits for the end of its step."""

_LEAVE_SECONDS = 30.0


def run_processes(settings: TrialSettings, tell: Callable[[str], None]) -> StageProcesses:
    """Train in stages that are processes of this machine, and return them, all ended.

    Raises:
        UserError: they cannot start, or fail.
        KeyboardInterrupt: SIGINT or SIGTERM came; the step has been ended, and every process.
    """
    if settings.attack_rate:
        raise UserError(
            "--attack-rate is of simulated stages; with --processes real start one peer with FORWARD_ATTACK or "
            "BACKWARD_ATTACK"
        )
    if (settings.task, settings.data, settings.tokenizer) != ("gpt", "builtin", None):
        raise UserError(
            "--task, --data and --tokenizer are of simulated stages; start btard-coordinator and btard-peer with them"
        )
    split = _split(settings)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = settings.output or Path("runs") / f"pipeline-{stamp}"
    words = coordinator_words(settings)
    seats = split.stages * settings.replicas
    plan = StageProcessesPlan.make(directory, seats + settings.spare, words, settings.seed, settings.link)
    if settings.replica_attack != NO_ATTACK:
        lies = {"ATTACK_TYPE": settings.replica_attack, "ATTACK_START": "0"}
        plan = replace(plan, environments={plan.peers[0].name: lies})
    tell(f"run directory {directory}")
    with Interrupt().listening() as interrupt:
        with NurseryClient(PRELOAD, environment(), plan.directory / "nursery.log") as nursery:
            nursery.wait_ready(interrupt)
            interrupt.check()
            processes = StageProcesses(plan, nursery)
            processes.start()
            _follow(processes, interrupt, tell)
        interrupt.check()
        return processes


def coordinator_words(settings: TrialSettings) -> tuple[str, ...]:
    """Return what the coordinator is told of such a run."""
    given = {
        "--experiment": "pipeline",
        "--pipeline": str(_split(settings)),
        **({"--pipeline-family": settings.family.value} if settings.partition is None else {}),
        **({} if settings.partition is None else {"--pipeline-partition": settings.partition.absolute()}),
        "--pipeline-order": settings.order.value,
        "--pipeline-optimizer": settings.optimizer.value,
        "--micro-batches": settings.micro_batches,
        "--batch-size": settings.micro_batch_size,
        "--total-steps": settings.steps,
        "--learning-rate": settings.learning_rate,
        "--precision": settings.precision.value,
        "--warmup-steps": min(10, settings.steps // 5),
        "--seed": settings.seed,
        "--epoch-samples": settings.epoch_samples,
        "--forward-codec": settings.forward_codec,
        "--backward-codec": settings.backward_codec,
        "--raw-steps": settings.raw_steps,
        "--replicas": settings.replicas,
        **({} if settings.tau is None else {"--tau": settings.tau}),
        "--check": settings.check.value,
        "--share": settings.share,
        "--relative-error": settings.relative_error,
        "--code-share": settings.code_share,
        "--after-alarm": settings.after_alarm.value,
        "--keep-stages-every": settings.keep_every,
        "--lost-after": settings.lost_after,
        "--stage-timeout": settings.stage_timeout,
    }
    words = [word for flag, value in given.items() for word in (flag, str(value))]
    switches = [
        name if on else f"no-{name}" for name, on in (("ban", settings.ban), ("trusted-relay", settings.trusted_relay))
    ]
    return (*words, *(f"--{switch}" for switch in switches))


def _split(settings: TrialSettings) -> Split:
    if settings.partition is None:
        return Split.parse(settings.split)
    from btard.pipeline.stages.partition import read_manifest

    return Split(read_manifest(settings.partition).blocks)


def _follow(processes: StageProcesses, interrupt: Interrupt, tell: Callable[[str], None]) -> None:
    """Tell how the run goes until it is over, or interrupted; then let the step end."""
    told, seating = -1, 0
    while COORDINATOR not in processes.codes and interrupt.number is None:
        processes.look(_TICK_SECONDS, interrupt)
        if processes.seating is not None and processes.seating.number > seating:
            seating = processes.seating.number
            tell(f"seating {seating}: all go on from step {processes.seating.step}")
        if processes.step >= told + _TELL_EVERY:
            told = processes.step
            tell(f"step {told}  loss {processes.losses[told]:.4f}")
    if interrupt.number is not None:
        tell("interrupted: the step is ended first")
        begun = processes.step
        processes.wait(lambda: processes.step > begun or COORDINATOR in processes.codes, _STEP_SECONDS)
        return
    if processes.codes[COORDINATOR] != 0:
        log = processes.plan.coordinator.log
        raise UserError(f"the coordinator ended with code {processes.codes[COORDINATOR]}: {last_lines(log)}")
    processes.wait(lambda: not processes.pids, _LEAVE_SECONDS)
