"""`btard lab`: experiments in one process, and what they can be made of."""

from __future__ import annotations

from collections.abc import Sequence

from btard.errors import UserError
from btard.vocabulary import ExitCode

_USAGE = """usage: btard lab COMMAND ...

  run     train among simulated workers, some of whom lie
  sweep   do the runs of a grid that are missing, in parallel
  study   report what the runs of a sweep show, in tables and figures
  reproduce  do a published study again, and report it beside the published figures
  list    the installed rules, attacks and tasks

`btard lab run --help` tells more."""


def main(argv: Sequence[str]) -> int:
    """Run a command of the laboratory, and return its exit code.

    Raises:
        UserError: there is no such command, or its words are wrong.
    """
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(_USAGE)
        return ExitCode.FINISHED
    match name:
        case "run":
            return _run(rest)
        case "sweep":
            return _sweep(rest)
        case "study":
            return _study(rest)
        case "reproduce":
            return _reproduce(rest)
        case "list":
            return _list(rest)
    raise UserError(f"there is no command {name!r}; btard lab --help lists the commands")


def _run(words: Sequence[str]) -> int:
    from btard.configuration import load_settings
    from btard.lab.training.settings import ExperimentSettings

    settings = load_settings(ExperimentSettings, words, program="btard lab run")

    from btard.swarm.local_facts import check_can_be_made
    from btard.tasks.registry import chosen_task

    chosen_task(settings.task)
    if settings.output is not None:
        check_can_be_made(settings.output, "--output")

    from btard.lab.training.experiment import Experiment

    experiment = Experiment(settings).run()
    for row in experiment.evaluations.itertuples():
        print(f"step {row.step:>6}  accuracy {row.accuracy:.4f}  loss {row.loss:.4f}")
    if experiment.diverged is not None:
        print(f"diverged: no vector was finite in step {experiment.diverged}")
    if len(experiment.bans):
        print(f"banned: {', '.join(f'{ban.worker} at step {ban.step}' for ban in experiment.bans.itertuples())}")
    if experiment.directory is not None:
        print(f"files: {experiment.directory}")
    return ExitCode.INTERRUPTED if experiment.interrupted else ExitCode.FINISHED


def _sweep(words: Sequence[str]) -> int:
    from btard.configuration import load_settings
    from btard.lab.sweep.settings import SweepSettings

    settings = load_settings(SweepSettings, words, program="btard lab sweep")

    from btard.lab.sweep.grid import read_grid
    from btard.lab.sweep.sweep import sweep

    return sweep(read_grid(settings.grid), settings).exit_code


def _study(words: Sequence[str]) -> int:
    from btard.configuration import load_settings
    from btard.lab.sweep.settings import StudySettings

    settings = load_settings(StudySettings, words, program="btard lab study")

    from btard.lab.sweep.report import study

    print(f"report: {study(settings.output)}")
    return ExitCode.FINISHED


def _reproduce(words: Sequence[str]) -> int:
    from btard.configuration import load_settings
    from btard.lab.reproductions.settings import ReproduceSettings

    name, *rest = words or ["--help"]
    program = "btard lab reproduce"
    if name.startswith("-"):
        load_settings(ReproduceSettings, ["--help"] if name in ("-h", "--help") else words, program=f"{program} STUDY")
        raise UserError(f"{program} needs a study before its settings: see btard lab list")
    settings = load_settings(ReproduceSettings, rest, program=f"{program} {name}")

    from btard.lab.reproductions.command import reproduce, reproduction_of

    return reproduce(reproduction_of(name), settings)


def _list(words: Sequence[str]) -> int:
    if words:
        raise UserError(f"btard lab list takes nothing, not {' '.join(words)}")

    from btard.byzantine.gradients.registry import attack_names
    from btard.configuration.rule import RULES
    from btard.lab.reproductions.command import known_reproductions
    from btard.tasks.registry import TASKS

    studies = known_reproductions()
    for title, names in (
        ("rules", RULES.names()),
        ("attacks", attack_names()),
        ("tasks", TASKS.names()),
        ("studies", studies),
    ):
        print(f"{title}: {', '.join(names)}")
    return ExitCode.FINISHED
