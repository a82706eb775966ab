"""`btard pipeline`: models cut into stages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from btard.pipeline.machine.plan import StageBanned

COMMANDS = {
    "partition": "cut a model of Hugging Face into stages, one file each",
    "run": "train a small model in simulated stages, some of which lie",
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
    return _partition(rest) if name == "partition" else _run(rest)


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
    from btard.pipeline.stages.model_stage import ActivationCheck, Cut
    from btard.pipeline.stages.partition import write_partition
    from btard.pipeline.stages.split import Split
    from btard.pipeline.stages.weights import check_new_folder, read_model

    check_new_folder(settings.out)
    config, state = read_model(settings.model)
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
    for number, (blocks, stage) in enumerate(zip(split.blocks, manifest.stages, strict=True)):
        print(f"stage {number}  {blocks} blocks  {stage.weights} weights  {stage.file}")
    return 0


def _run(words: list[str]) -> int:
    from btard.configuration import load_settings
    from btard.pipeline.settings import LieName, TrialCheck, TrialRecovery, TrialSettings

    settings = load_settings(TrialSettings, words, program="btard pipeline run")

    import torch

    from btard.hashing import tagged_digest
    from btard.pipeline.defence.attacks import MessageLie, StageAttack
    from btard.pipeline.defence.comparison import ComputationCheck
    from btard.pipeline.machine.plan import AfterAlarm, CheckMode
    from btard.pipeline.schedule.optimizer import OptimizerKind, OptimizerPlan
    from btard.pipeline.schedule.order import PipelineOrder
    from btard.pipeline.stages.split import Split
    from btard.pipeline.trial import Trial, run_trial
    from btard.tasks.base import Schedule
    from btard.tasks.registry import load_task
    from btard.tasks.text import TextTask

    def lie(name: LieName) -> MessageLie | None:
        return None if name is LieName.NONE else MessageLie(name.value)

    attack = StageAttack(
        settings.attack_rate,
        lie(settings.forward_attack),
        lie(settings.backward_attack),
        tagged_digest("btard pipeline lies", settings.seed.to_bytes(8, "big")),
        each_attempt=settings.after_alarm is TrialRecovery.RESTART,
    )
    trial = Trial(
        family=settings.family.value,
        split=Split.parse(settings.split),
        optimizer=OptimizerPlan(
            OptimizerKind(settings.optimizer.value), Schedule(settings.learning_rate, 10, settings.steps + 50)
        ),
        steps=settings.steps,
        micro_batches=settings.micro_batches,
        micro_batch_size=settings.micro_batch_size,
        order=PipelineOrder(settings.order.value),
        attack=attack,
        seed=settings.seed,
        epoch_samples=settings.epoch_samples or None,
        plan={
            "checked": settings.check is not TrialCheck.NONE,
            "mode": CheckMode.DRAWN if settings.check is TrialCheck.DRAWN else CheckMode.LIVE,
            "trusted_relay": settings.trusted_relay,
            "share": settings.share,
            "comparison": ComputationCheck(settings.relative_error, settings.code_share),
            "after_alarm": AfterAlarm(settings.after_alarm.value),
            "ban": settings.ban,
            "forward_codec": settings.forward_codec,
            "backward_codec": settings.backward_codec,
            "raw_steps": settings.raw_steps,
        },
    )
    task = load_task("gpt", "tiny")
    assert isinstance(task, TextTask)
    torch.set_num_threads(1)  # several round differently from one call to the next
    outcome = run_trial(trial, task)
    if settings.evidence is not None:
        _save_bans(settings.evidence, outcome.bans)
    print(f"loss on held-out text        {outcome.first_loss:.3f} before, {outcome.final_loss:.3f} after")
    print(f"perplexity                   {outcome.perplexity:.4g}")
    print(f"steps in which a stage lied  {outcome.attacked} of {settings.steps}")
    print(f"of these noticed             {outcome.noticed}")
    print(f"false alarms                 {outcome.false_alarms}")
    print(f"peers banned                 {len(outcome.bans)}")
    print(f"megabytes sent               {outcome.sent_bytes / 1e6:.1f}")
    return 0


def _save_bans(folder: Path, bans: Sequence[StageBanned]) -> None:
    from btard.errors import UserError
    from btard.pipeline.justice.evidence import StageEvidence

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ban in bans:
            (folder / StageEvidence.from_json(ban.evidence).file_name).write_bytes(ban.evidence)
    except OSError as error:
        raise UserError(f"--evidence is {folder}, which cannot be written: {error.strerror}") from None
