"""Runs a reproduction and writes its report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from btard.errors import UserError
from btard.lab.reproductions.reproduction import Findings, Reproduction
from btard.lab.reproductions.settings import ReproduceSettings, Scale
from btard.lab.reproductions.staged.study import StagedStudy
from btard.lab.study.html import Section, write_html
from btard.lab.sweep.sweep import Sweep, sweep
from btard.vocabulary import ExitCode

REPORT = "report.html"


Study = Reproduction | StagedStudy


def reproduction_of(name: str) -> Study:
    """Return a reproduction by its name.

    Raises:
        UserError: there is none of this name.
    """
    known = known_reproductions()
    if name not in known:
        raise UserError(f"there is no reproduction {name!r}; there are {', '.join(known)}")
    return known[name]


def known_reproductions() -> dict[str, Study]:
    """Return all reproductions by name."""
    from btard.lab.reproductions.albert import Albert
    from btard.lab.reproductions.breakdown import Breakdown
    from btard.lab.reproductions.centered_clip import CenteredClipping
    from btard.lab.reproductions.mnist import Mnist
    from btard.lab.reproductions.momentum.study import MomentumStudy
    from btard.lab.reproductions.resnet.study import Resnet
    from btard.lab.reproductions.staged.ac_sgd import AcSgd
    from btard.lab.reproductions.staged.attack import PipelineAttack

    grids: list[Study] = [MomentumStudy(), Mnist(), Resnet(), Albert(), CenteredClipping(), Breakdown()]
    return {made.name: made for made in [*grids, PipelineAttack(), AcSgd()]}


def reproduce(reproduction: Study, settings: ReproduceSettings) -> ExitCode:
    """Do the runs of a reproduction that are missing, and write its report.

    Returns:
        FAILED if a run failed, INTERRUPTED if it was ended before.

    Raises:
        UserError: the settings ask for what this study does not have.
    """
    if isinstance(reproduction, StagedStudy):
        return _reproduce_staged(reproduction, settings)
    directory = settings.output / f"{reproduction.name}-{settings.scale}"
    sweeps: dict[str, Sweep] = {}
    for grid in reproduction.grids(settings.scale):
        if settings.data is not None:
            grid = grid.model_copy(update={"base": {**grid.base, "data": str(settings.data)}})
        print(f"{grid.name}:", flush=True)
        done = sweep(grid, settings.model_copy(update={"output": directory / grid.name}))
        if done.tally.interrupted:
            return ExitCode.INTERRUPTED
        sweeps[grid.name] = done
    if settings.dry_run:
        return ExitCode.FINISHED
    path = write_report(reproduction, sweeps, settings.scale, directory)
    print(f"report: {path}")
    failed = any(one.tally.failed for one in sweeps.values())
    return ExitCode.FAILED if failed else ExitCode.FINISHED


def _reproduce_staged(study: StagedStudy, settings: ReproduceSettings) -> ExitCode:
    from btard.lab.reproductions.staged.missing_runs import run_missing

    home = settings.output / f"{study.name}-{settings.scale}"
    data = "builtin" if settings.data is None else str(settings.data)
    if not settings.dry_run:
        study.prepare(settings.scale, data, home)
    tally = run_missing(study.runs(settings.scale, data), home, settings)
    if tally.interrupted:
        return ExitCode.INTERRUPTED
    if settings.dry_run:
        return ExitCode.FINISHED
    for name, reason in tally.failed:
        print(f"failed: {name}: {reason}")
    counts = pd.DataFrame([(len(tally.results), len(tally.failed))], columns=["complete runs", "failed"])
    found = study.findings(tally.results, settings.scale, home / "figures")
    path = _write(study, found, settings.scale, home, counts, len(tally.failed))
    print(f"report: {path}")
    return ExitCode.FAILED if tally.failed else ExitCode.FINISHED


def write_report(reproduction: Reproduction, sweeps: dict[str, Sweep], scale: Scale, directory: Path) -> Path:
    """Write the report of runs that are there: trends first, then what was scaled down, then everything else."""
    found = reproduction.findings(sweeps, scale, directory / "figures")
    counts = pd.DataFrame(
        [(name, len(one.results), len(one.refused), len(one.tally.failed)) for name, one in sweeps.items()],
        columns=["grid", "complete runs", "refused", "failed"],
    )
    return _write(reproduction, found, scale, directory, counts, sum(len(one.tally.failed) for one in sweeps.values()))


def _write(study: Study, found: Findings, scale: Scale, directory: Path, counts: pd.DataFrame, lost: int) -> Path:
    trends = pd.DataFrame(
        [(trend.claim, trend.published, trend.found, str(trend.verdict)) for trend in found.trends],
        columns=["claim", "published", "found here", "verdict"],
    )
    print(trends.to_string(index=False))
    about = [f"Scale: {scale}.", *study.scaled_down(scale)]
    if lost:
        about.append(f"{lost} runs failed and are missing in all figures and tables.")
    sections = [
        Section("Trend by trend", tables=[trends]),
        Section("What was run", about, [counts]),
        *found.sections,
    ]
    path = directory / REPORT
    write_html(path, f"Reproduction: {study.title} ({scale})", sections)
    return path
