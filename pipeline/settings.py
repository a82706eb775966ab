"""What the commands of `btard pipeline` are told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Group, Option, Settings


class PartitionSettings(Settings):
    """Settings of `btard pipeline partition`, which cuts a model into stages."""

    model: Annotated[Path, Option("folder with a model of Hugging Face", group=Group.TASK)]
    stages: Annotated[int, Field(ge=1, le=1024), Option("how many stages", unit="stages", group=Group.TASK)] = 2
    split: Annotated[
        str | None,
        Option(
            "blocks of each stage, as 2-3-1; with none they are shared so that all stages take as long",
            group=Group.TASK,
        ),
    ] = None
    sequence: Annotated[
        int,
        Field(ge=2, le=65536),
        Option("longest sample on which blocks are measured", unit="tokens", group=Group.TASK),
    ] = 64
    keep_dropout: Annotated[
        bool,
        Option("leave the model's dropout as it is; activations can then not be compared exactly", group=Group.TASK),
    ] = False
    out: Annotated[Path, Option("folder for the stages, new or empty", group=Group.OUTPUT)]
