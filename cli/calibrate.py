"""`btard calibrate`: how far honest gradients differ on this machine, and the tolerance file that follows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Group, Option
from btard.configuration.shared.training import ComputeDevice, CorpusSettings, GradientSettings
from btard.vocabulary import Device


class CalibrateSettings(CorpusSettings, GradientSettings):
    """Settings of `btard calibrate`, which measures how far honest computations of one gradient differ here."""

    device: ComputeDevice = Device.AUTO
    samples: Annotated[
        int, Field(ge=1, le=10_000), Option("how many gradients to compare", unit="gradients", group=Group.MEASUREMENT)
    ] = 20
    output: Annotated[Path, Option("where the tolerance is written", group=Group.MEASUREMENT)] = Path("tolerance.json")


def main(argv: Sequence[str]) -> int:
    """Measure as the words say, print the table, write the file, and return the exit code.

    Raises:
        UserError: the words are wrong, the task cannot be had, the file not written, or no tolerance tells a liar.
    """
    from btard.configuration import load_settings

    settings = load_settings(CalibrateSettings, argv, program="btard calibrate")

    from btard.errors import UserError
    from btard.swarm.local_facts import check_corpus, check_device
    from btard.tasks.registry import check_task, load_task

    check_task(settings.task, settings.size)
    if settings.output.is_dir() or not settings.output.absolute().parent.is_dir():
        raise UserError(f"--output is {settings.output}, but must be a file in a folder that exists")
    if not os.access(settings.output if settings.output.exists() else settings.output.absolute().parent, os.W_OK):
        raise UserError(f"--output is {settings.output}, which cannot be written")
    check_corpus(settings.data, settings.tokenizer, settings.cache_dir)
    check_device(settings.device)

    from rich.console import Console
    from rich.progress import Progress

    from btard.peer.trainer import chosen_device
    from btard.swarm.calibration import CalibrationWork, measure, table, tolerance
    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.spec import DataSpec
    from btard.tasks.training_state import best_device

    spec = DataSpec.parse(settings.data, settings.tokenizer)
    work = CalibrationWork(
        task=load_task(settings.task, settings.size, spec, settings.cache_dir, access=HubAccess(None, signed_in=True)),
        batch_size=settings.batch_size,
        max_grad_norm=settings.max_grad_norm or None,
        precision=settings.precision,
        seed=settings.seed,
        device=chosen_device(settings.device) or best_device(),
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("comparing gradients", total=settings.samples)
        spreads = measure(work, settings.samples, lambda done: bar.update(shown, completed=done))
    print(table(spreads))
    found = tolerance(work, spreads)
    found.write(settings.output)
    print(f"\n{found.numerics}\naccuse {found.accuse:.3g}, convict {found.convict:.3g}: {found.reason}")
    print(f"written to {settings.output}")
    return 0
