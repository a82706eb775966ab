"""`btard deploy aws experiment FILE`: all runs of an experiment, here or on AWS, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str], program: str) -> int:
    """Do what is not done yet, write the report, and return the exit code.

    Raises:
        UserError: no such file, or a run failed; the same command goes on.
    """
    from btard.configuration import load_settings
    from btard.deploy.experiment.settings import FleetExperimentSettings
    from btard.errors import UserError

    words = list(argv)
    file = words.pop(0) if words and not words[0].startswith("-") else None
    settings = load_settings(FleetExperimentSettings, words, program=f"{program} FILE")
    if file is None:
        raise UserError(f"{program} needs the experiment's file first; deploy/aws/examples has one")

    from rich.console import Console

    from btard.deploy.experiment.plan import Where, load_experiment
    from btard.deploy.experiment.runner import Backend, run_experiment

    experiment = load_experiment(Path(file))
    directory = (settings.directory or Path("runs") / experiment.name).absolute()
    console = Console()
    backend: Backend
    if (settings.backend or experiment.backend) is Where.AWS:
        from btard.deploy.aws.backend import AwsBackend

        backend = AwsBackend(experiment, directory, console, yes=settings.yes)
    else:
        from btard.deploy.experiment.local import LocalBackend

        backend = LocalBackend()
    specs = run_experiment(experiment, directory, backend, console)

    from btard.deploy.experiment.report import write_report

    report = write_report(experiment, specs, directory)
    console.print(f"report {report.table}\nfigure {report.figure}", highlight=False, soft_wrap=True)
    return 0
