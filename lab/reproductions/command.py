"""Runs a reproduction and writes its report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from btard.errors import UserError
from btard.lab.reproductions.reproduction import Reproduction
from btard.lab.reproductions.settings import ReproduceSettings, Scale
from btard.lab.study.html import Section, write_html
from btard.lab.sweep.sweep import Sweep, sweep
from btard.vocabulary import ExitCode

REPORT = "report.html"


def reproduction_of(name: str) -> Reproduction:
    """Return a reproduction by its name.

    Raises:
        UserError: there is none of this name.
    """
    known = known_reproductions()
    if name not in known:
        raise UserError(f"there is no reproduction {name!r}; there are {', '.join(known)}")
    return known[name]


def known_reproductions() -> dict[str, Reproduction]:
    """Return all reproductions by name."""
    from btard.lab.reproductions.albert import Albert
    from btard.lab.reproductions.breakdown import Breakdown
    from btard.lab.reproductions.centered_clip import CenteredClipping
    from btard.lab.reproductions.mnist import Mnist
    from btard.lab.reproductions.momentum.study import MomentumStudy
    from btard.lab.reproductions.resnet.study import Resnet

    return {made.name: made for made in (MomentumStudy(), Mnist(), Resnet(), Albert(), CenteredClipping(), Breakdown())}


def reproduce(reproduction: Reproduction, settings: ReproduceSettings) -> ExitCode:
    """Do the runs of a reproduction that are missing, and write its report.

    Returns:
        FAILED if a run failed, INTERRUPTED if it was ended before.
    """
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


def write_report(reproduction: Reproduction, sweeps: dict[str, Sweep], scale: Scale, directory: Path) -> Path:
    """Write the report of runs that are there: trends first, then what was scaled down, then everything else."""
    found = reproduction.findings(sweeps, scale, directory / "figures")
    trends = pd.DataFrame(
        [(trend.claim, trend.published, trend.found, str(trend.verdict)) for trend in found.trends],
        columns=["claim", "published", "found here", "verdict"],
    )
    print(trends.to_string(index=False))
    lost = sum(len(one.tally.failed) for one in sweeps.values())
    about = [f"Scale: {scale}.", *reproduction.scaled_down(scale)]
    if lost:
        about.append(f"{lost} runs failed and are missing in all figures and tables.")
    counts = pd.DataFrame(
        [(name, len(one.results), len(one.refused), len(one.tally.failed)) for name, one in sweeps.items()],
        columns=["grid", "complete runs", "refused", "failed"],
    )
    sections = [
        Section("Trend by trend", tables=[trends]),
        Section("What was run", about, [counts]),
        *found.sections,
    ]
    path = directory / REPORT
    write_html(path, f"Reproduction: {reproduction.title} ({scale})", sections)
    return path
