"""What is trained, on which data, how fast, and when the state is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from btard.configuration.groups import Group
from btard.configuration.options import Option, Seed
from btard.configuration.settings import Settings
from btard.vocabulary import MAX_BATCH, MAX_STEPS, Device, Precision

PUBLISHED_STEPS = (450, 950, 2950, 4950)
"""The steps before which the published ALBERT experiments kept their states."""

_PUBLISHED = "published"

TaskName = Annotated[
    str,
    Option(
        "what is trained: an installed task, as NAME or NAME:KEY=VALUE,KEY=VALUE; btard data tasks lists them",
        group=Group.TASK,
    ),
]

CacheDirectory = Annotated[Path | None, Option("where tokenised data are kept", group=Group.MACHINE)]

ComputeDevice = Annotated[Device, Option("auto takes CUDA where there is one, else the CPU", group=Group.MACHINE)]

BatchSize = Annotated[
    int, Field(ge=1, le=MAX_BATCH), Option("samples of a peer in a step", unit="samples", group=Group.TRAINING)
]

Steps = Annotated[int, Field(ge=1, le=MAX_STEPS), Option("how long to train", unit="steps", group=Group.TRAINING)]


MembersFile = Annotated[
    Path | None,
    Option(
        "file of the peer ids that may become members, one a line, comments behind #; none admits everybody",
        group=Group.TRAINING,
    ),
]


def check_checkpoints(checkpoint_at: Sequence[str], total_steps: int | None) -> None:
    """Check that no state is asked for that a run of so many steps, if that is known, never comes to. Of the published
    ones those count that it comes to.

    Raises:
        ValueError: one is.
    """
    last = max((int(word) for word in checkpoint_at if word != _PUBLISHED), default=0)
    if total_steps is not None and last > total_steps:
        raise ValueError(f"--checkpoint-at {last} is beyond the end of a run of {total_steps} steps; leave it out")


ChosenPrecision = Annotated[Precision, Option("arithmetic of forward and backward", group=Group.TRAINING)]


class ModelSettings(Settings):
    """What is trained."""

    task: TaskName = "gpt"
    size: Annotated[str, Option("size of the task's model, such as tiny", group=Group.TASK)] = "tiny"


class CorpusSettings(ModelSettings):
    """What is trained, on which corpus."""

    data: Annotated[
        str,
        Option(
            "corpus: builtin, a path, which each peer's owner then has to give by --data, too, or a Hub data set as "
            "OWNER/NAME:CONFIGURATION or hub:OWNER/NAME",
            group=Group.TASK,
        ),
    ] = "builtin"
    tokenizer: Annotated[
        str | None,
        Option(
            "path of a tokenizer.json, which each peer's owner then has to give, too; with none one is trained from "
            "the corpus",
            group=Group.TASK,
        ),
    ] = None
    cache_dir: CacheDirectory = None


class GradientSettings(Settings):
    """How the gradient of a step is computed."""

    batch_size: BatchSize = 8
    max_grad_norm: Annotated[
        float, Field(ge=0), Option("longer gradients are scaled down to this norm, 0 for never", group=Group.TRAINING)
    ] = 1.0
    precision: ChosenPrecision = Precision.FLOAT32
    seed: Annotated[Seed, Option("seed of the initial weights and of all batches", group=Group.TRAINING)] = 1337


def check_warmup(warmup_steps: int | None, total_steps: int | None) -> None:
    """Check that a warm-up ends before its run does, as far as both are known.

    Raises:
        ValueError: it does not.
    """
    if warmup_steps is not None and total_steps is not None and warmup_steps >= total_steps:
        raise ValueError(f"the warm-up of {warmup_steps} steps must be shorter than the run of {total_steps} steps")


class RateSettings(Settings):
    """How fast weights move."""

    learning_rate: Annotated[
        float | None, Field(gt=0), Option("peak learning rate, none for the task's own", group=Group.TRAINING)
    ] = None
    warmup_steps: Annotated[
        int | None,
        Field(ge=0),
        Option(
            "steps until the peak rate, none for the task's own, at most a fifth of all",
            unit="steps",
            group=Group.TRAINING,
        ),
    ] = None


class CheckpointSettings(Settings):
    """When the state is kept, and with which one the run begins."""

    checkpoint_every: Annotated[
        int,
        Field(ge=0),
        Option("steps between checkpoints, 0 for the last one alone", unit="steps", group=Group.CHECKPOINTS),
    ] = 0
    checkpoint_at: Annotated[
        list[str],
        Field(default_factory=list),
        Option(
            f"steps before which the state is kept; {_PUBLISHED} stands for {' '.join(map(str, PUBLISHED_STEPS))}",
            unit="steps",
            group=Group.CHECKPOINTS,
        ),
    ]
    initial_state: Annotated[
        Path | None, Option("folder of a checkpoint that the run begins with", group=Group.CHECKPOINTS)
    ] = None

    @field_validator("checkpoint_at")
    @classmethod
    def _steps(cls, words: list[str]) -> list[str]:
        for word in words:
            if word != _PUBLISHED and not (word.isascii() and word.isdigit() and int(word) < MAX_STEPS):
                raise ValueError(f"must be whole numbers of steps, or the word {_PUBLISHED}")
        return words

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps of `checkpoint_at`, ascending."""
        steps = {int(word) for word in self.checkpoint_at if word != _PUBLISHED}
        return tuple(sorted(steps | set(PUBLISHED_STEPS if _PUBLISHED in self.checkpoint_at else ())))
