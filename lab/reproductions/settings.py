"""What `btard lab reproduce` is told."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from btard.configuration import Group, Option
from btard.lab.sweep.settings import ManyRunsSettings


class Scale(StrEnum):
    """How much of a study is done: SMOKE shows in minutes that everything works, SMALL shows trends in an hour on two
    cores, PAPER is what was published."""

    SMOKE = "smoke"
    SMALL = "small"
    PAPER = "paper"


class ReproduceSettings(ManyRunsSettings):
    """Settings of `btard lab reproduce`."""

    output: Annotated[Path, Option("directory of runs, figures and the report", group=Group.OUTPUT)] = Path(
        "runs/reproductions"
    )
    scale: Annotated[
        Scale,
        Option(
            "smoke in three minutes, small in an hour on two cores, paper as published",
            group=Group.MEASUREMENT,
        ),
    ] = Scale.SMOKE
    data: Annotated[
        Path | None,
        Option(
            "folder of the data set of all runs, in place of the one that a package brings; CIFAR-10 needs one",
            group=Group.TASK,
        ),
    ] = None
