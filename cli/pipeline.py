"""`btard pipeline`: models cut into stages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from btard.pipeline.machine.plan import StageBanned
    from btard.pipeline.measures.scores import HeldOutScores
    from btard.pipeline.settings import TrialSettings
    from btard.pipeline.trial import Trial, TrialOutcome
    from btard.round.evidence.evidence import Evidence

COMMANDS = {
    "partition": "cut a model of Hugging Face into stages, one file each",
    "merge": "put what a run of stages has trained together to a model of Hugging Face",
    "run": "train a small model in stages, simulated ones that may lie, or real processes",
}


def main(argv: Sequence[str]) -> int:
    """Run `btard pipeline COMMAND ...` and return the exit code.

    Raises:
        UserError: the words are wrong, or what they name cannot be read or written.
    """
    from btard.errors import UserError

    words = list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"perhaps {close[0]} was meant" if close else f"there are {', '.join(COMMANDS)}"
        raise UserError(f"btard pipeline has no command {name!r}; {hint}")
    return {"partition": _partition, "merge": _merge, "run": _run}[name](rest)


def _usage() -> str:
    lines = [f"  {name:<10}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(["usage: btard pipeline COMMAND ...", "", "Models too large for one peer, in stages.", "", *lines])


def _partition(words: list[str]) -> int:
    from btard.configuration import load_settings
    from btard.pipeline.settings import PartitionSettings

    settings = load_settings(PartitionSettings, words, program="btard pipeline partition")

    from btard.errors import UserError
    from btard.pipeline.stages.cost import measure_costs
    from btard.pipeline.stages.family import family_of
    from btard.pipeline.stages.hub_models import find_model
    from btard.pipeline.stages.model_stage import ActivationCheck, Cut
    from btard.pipeline.stages.partition import write_partition
    from btard.pipeline.stages.split import Split
    from btard.pipeline.stages.weights import check_new_folder, read_model

    check_new_folder(settings.out)
    found = find_model(settings.model)
    config, state = read_model(found.folder)
    if not settings.keep_dropout:
        config = family_of(config).without_dropout(config)
    if settings.split is None:
        split = measure_costs(config, state, sequence=settings.sequence).split(settings.stages)
    else:
        split = Split.parse(settings.split)
    cut = Cut(config, split, ActivationCheck.TOLERANT if settings.keep_dropout else ActivationCheck.EXACT)
    try:
        manifest = write_partition(cut, state, settings.out)
    except OSError as error:
        raise UserError(f"--out is {settings.out}, which cannot be written: {error.strerror}") from None
    print(f"model  {found.told}")
    for number, (blocks, stage) in enumerate(zip(split.blocks, manifest.stages, strict=True)):
        print(f"stage {number}  {blocks} blocks  {stage.weights} weights  {stage.file}")
    return 0


def _merge(words: list[str]) -> int:
    from btard.configuration import load_settings
    from btard.pipeline.settings import MergeSettings

    settings = load_settings(MergeSettings, words, program="btard pipeline merge")

    from btard.pipeline.live.held.merging import merge_run

    print(f"{settings.out}: the model of {merge_run(settings.run, settings.out)}")
    return 0


def _run(words: list[str]) -> int:
    from btard.configuration import load_settings
    from btard.pipeline.settings import StageProcess, TrialSettings

    settings = load_settings(TrialSettings, words, program="btard pipeline run")
    _check_output(settings)
    _check_replicas(settings)
    if settings.processes is StageProcess.REAL:
        return _run_processes(settings)
    if settings.replicas > 1:
        return _run_replicas(settings)

    import torch

    from btard.pipeline.trial import run_trial, trial_task

    trial = _trial(settings)
    task = trial_task(settings.task, settings.data, settings.tokenizer)
    torch.set_num_threads(1)  # several round differently from one call to the next
    outcome = run_trial(trial, task)
    _tell(outcome)
    if settings.evidence is not None:
        _save_bans(settings.evidence, outcome.bans)
    if settings.output is not None:
        _leave(settings, settings.output, trial, outcome)
    return 0


def _trial(settings: TrialSettings) -> Trial:
    from btard.hashing import tagged_digest
    from btard.pipeline.choices import AfterAlarm
    from btard.pipeline.defence.attacks import MessageLie, StageAttack
    from btard.pipeline.machine.plan import step_options
    from btard.pipeline.schedule.optimizer import OptimizerPlan
    from btard.pipeline.settings import LieName
    from btard.pipeline.stages.split import Split
    from btard.pipeline.stages.trained import read_trained
    from btard.pipeline.step.channels import check_precision
    from btard.pipeline.trial import Trial
    from btard.tasks.base import Schedule

    def lie(name: LieName) -> MessageLie | None:
        return None if name is LieName.NONE else MessageLie(name.value)

    attack = StageAttack(
        settings.attack_rate,
        lie(settings.forward_attack),
        lie(settings.backward_attack),
        tagged_digest("btard pipeline lies", settings.seed.to_bytes(8, "big")),
        each_attempt=settings.after_alarm is AfterAlarm.RESTART,
    )
    check_precision(settings.precision, settings)
    schedule = Schedule(settings.learning_rate, 10, settings.steps + 50)
    family, split, state, config = settings.family.value, Split.parse(settings.split), None, None
    if settings.partition is not None:
        cut, state = read_trained(settings.partition)
        family, split, config = cut.family.model_type, cut.split, cut.config
    return Trial(
        family=family,
        split=split,
        state=state,
        config=config,
        optimizer=OptimizerPlan(settings.optimizer, schedule, precision=settings.precision),
        steps=settings.steps,
        micro_batches=settings.micro_batches,
        micro_batch_size=settings.micro_batch_size,
        order=settings.order,
        attack=attack,
        seed=settings.seed,
        epoch_samples=settings.epoch_samples or None,
        plan=step_options(settings),
    )


def _tell_scores(before: HeldOutScores, after: HeldOutScores) -> None:
    print(f"loss on held-out text        {before.loss:.3f} before, {after.loss:.3f} after")
    if after.accuracy is None:
        print(f"perplexity                   {after.perplexity:.4g}")
    else:
        print(f"accuracy, F1, Matthews       {after.accuracy:.3f}, {after.f1:.3f}, {after.matthews:.3f}")


def _tell(outcome: TrialOutcome) -> None:
    _tell_scores(outcome.before, outcome.after)
    print(f"steps in which a stage lied  {outcome.attacked} of {len(outcome.reports)}")
    print(f"of these noticed             {outcome.noticed}")
    print(f"false alarms                 {outcome.false_alarms}")
    print(f"peers banned                 {len(outcome.bans)}")
    print(f"megabytes sent               {sum(outcome.traffic.values()) / 1e6:.1f}")


def _check_replicas(settings: TrialSettings) -> None:
    """Check how many pipelines there are to be; raises UserError."""
    from btard.vocabulary import NO_ATTACK

    if settings.replicas > 1 or settings.replica_attack != NO_ATTACK:
        from btard.pipeline.replicas.rules import check_replicas

        check_replicas(settings)


def _run_replicas(settings: TrialSettings) -> int:
    import torch

    from btard.pipeline.replicas.rules import DEFAULT_TAU, AveragingRules
    from btard.pipeline.replicas.simulated.trial import ReplicaTrial, run_replicas
    from btard.pipeline.trial import trial_task

    averaging = AveragingRules(DEFAULT_TAU if settings.tau is None else settings.tau, settings.share)
    tried = ReplicaTrial(_trial(settings), settings.replicas, averaging, settings.replica_attack)
    task = trial_task(settings.task, settings.data, settings.tokenizer)
    torch.set_num_threads(1)  # several round differently from one call to the next
    outcome = run_replicas(tried, task)
    _tell_scores(outcome.before, outcome.after)
    print(f"replicas of a stage equal    {'yes, to the bit' if outcome.equal else 'no'}")
    print(f"megabytes to average         {outcome.sent_bytes / 1e6:.1f}")
    print(f"steps without a pipeline     {sum(bool(step.silent) for step in outcome.steps)}")
    print(f"peers banned                 {len(outcome.bans)}")
    for ban in outcome.bans:
        words = f"replica {ban.replica} of stage {ban.stage} {ban.verdict.evidence.offence}"
        print(f"banned in step {ban.step:<4}          {words}")
    if settings.evidence is not None:
        _save_verdicts(settings.evidence, [ban.verdict.evidence for ban in outcome.bans])
    return 0


def _save_verdicts(folder: Path, proofs: Sequence[Evidence]) -> None:
    from btard.round.evidence.file import save

    with _evidence_folder(folder):
        for proof in proofs:
            save(proof, folder)


@contextmanager
def _evidence_folder(folder: Path) -> Iterator[None]:
    """Inside, proofs are written into the folder, which is made; raises UserError if they cannot be."""
    from btard.errors import UserError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"--evidence is {folder}, which cannot be written: {error.strerror}") from None


def _run_processes(settings: TrialSettings) -> int:
    from btard.deploy.pipeline.run import run_processes

    processes = run_processes(settings, print)
    summary = processes.summary()
    assert summary is not None
    print(f"loss of the last step  {summary['training_loss']:.4f}")
    print(f"seatings               {summary['seatings']}")
    for ban in summary["bans"]:
        print(f"banned                 {ban['peer']}: {ban['words']}; proof {ban['evidence']}")
    if settings.evidence is not None:
        _copy_proofs(settings.evidence, [ban["evidence"] for ban in summary["bans"]])
    print(f"states                 {summary['final_checkpoint']}")
    return 0


def _copy_proofs(folder: Path, files: Sequence[str]) -> None:
    from shutil import copy

    with _evidence_folder(folder):
        for file in files:
            copy(file, folder)


def _check_output(settings: TrialSettings) -> None:
    """Check before a long training that what it is to leave can be written.

    Raises:
        UserError: it cannot.
    """
    from btard.errors import UserError
    from btard.vocabulary import WandbMode

    if settings.output is None:
        if settings.xlsx or settings.tensorboard or settings.wandb is not WandbMode.OFF:
            raise UserError("--xlsx, --tensorboard and --wandb need an --output to write into")
        return

    from btard.swarm.local_facts import check_can_be_made

    check_can_be_made(settings.output, "--output")
    if settings.xlsx:
        from btard.pipeline.measures.files import check_workbooks

        check_workbooks()


def _leave(settings: TrialSettings, directory: Path, trial: Trial, outcome: TrialOutcome) -> None:
    """Write what a trial has found into a directory, and on the boards that are wished for."""
    from btard.lab.metrics.sinks import Wishes, make_sinks
    from btard.lab.metrics.tables import TableName, Tables
    from btard.pipeline.measures.files import write_trial
    from btard.pipeline.measures.pace import trial_step
    from btard.pipeline.measures.timeline import simulate_step
    from btard.transport.shaping import LinkConditions

    link = settings.link or "1gbit"
    timeline = simulate_step(trial_step(trial, outcome.cut, outcome.sequence, LinkConditions.parse(link)))
    print(f"a step over {link}  {timeline.seconds:.3g} s, {100 * timeline.bubble:.0f} % of it waiting")
    told = settings.model_dump(mode="json")
    paths = write_trial(directory, told, outcome, timeline, workbook=settings.xlsx)
    wishes = Wishes((), told, "", {}, settings.tensorboard, settings.wandb, "btard-pipeline")
    sinks = make_sinks(wishes, directory, Tables())
    for sink in sinks:
        for report in outcome.reports:
            if report.loss is not None:
                sink.write(TableName.STEPS, {"step": report.step, "loss": report.loss})
        after = {"loss": outcome.after.loss, "accuracy": outcome.after.accuracy}
        known = {name: value for name, value in after.items() if value is not None}
        sink.write(TableName.EVALUATIONS, {"step": len(outcome.reports), **known})
        sink.close()
    print(f"files: {directory} ({', '.join(path.name for path in paths)})")


def _save_bans(folder: Path, bans: Sequence[StageBanned]) -> None:
    from btard.pipeline.justice.evidence import StageEvidence

    with _evidence_folder(folder):
        for ban in bans:
            (folder / StageEvidence.from_json(ban.evidence).file_name).write_bytes(ban.evidence)
