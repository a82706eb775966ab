"""What `btard lab sweep` is told."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Group, Option, Settings

MAX_JOBS = 4096


class SweepEngine(StrEnum):
    """Where runs happen: in processes of this machine, or on a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


class ManyRunsSettings(Settings):
    """Where the runs of a sweep happen, and how many at a time; what sweeps and reproductions share."""

    output: Annotated[
        Path,
        Option("directory of runs, tables and figures; what is there already is not run again", group=Group.OUTPUT),
    ] = Path("runs/lab")
    jobs: Annotated[
        int | None,
        Field(ge=1, le=MAX_JOBS),
        Option("runs at a time; none for one a processor core", unit="runs", group=Group.MACHINE),
    ] = None
    engine: Annotated[SweepEngine, Option("where runs happen", group=Group.MACHINE)] = SweepEngine.LOCAL
    ray_address: Annotated[
        str | None, Option("of the Ray cluster, none for one that is started on this machine", group=Group.MACHINE)
    ] = None
    estimate: Annotated[
        bool,
        Option(
            "time a few steps of each kind of run, and say how long all take, before the start", group=Group.MACHINE
        ),
    ] = True
    dry_run: Annotated[bool, Option("only say what would be run, and how long it takes", group=Group.OUTPUT)] = False

    @property
    def at_a_time(self) -> int:
        """How many runs go on at the same time."""
        return self.jobs or os.cpu_count() or 1

    @property
    def threads(self) -> int:
        """Threads of a run: the cores, shared by what runs at the same time."""
        return max(1, (os.cpu_count() or 1) // self.at_a_time)


class StudySettings(Settings):
    """Settings of `btard lab study`."""

    output: Annotated[Path, Option("directory of a sweep; the report goes there, too", group=Group.OUTPUT)] = Path(
        "runs/lab"
    )


class SweepSettings(ManyRunsSettings):
    """Settings of `btard lab sweep`."""

    grid: Annotated[
        Path, Option("YAML file: name, base, cases, axes, seeds, tune; see the guide", group=Group.MEASUREMENT)
    ] = Path("grid.yaml")
