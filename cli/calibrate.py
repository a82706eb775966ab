"""`btard calibrate`: how far honest gradients differ on this machine, and the tolerance file that follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Option, Settings
from btard.vocabulary import Device, Precision

_TASK = "Task"
_TRAINING = "Training"
_MEASUREMENT = "Measurement"


class CalibrateSettings(Settings):
    """Settings of `btard calibrate`, which measures how far honest computations of one gradient differ here."""

    task: Annotated[
        str,
        Option(
            "what is trained: an installed task, as NAME or NAME:KEY=VALUE,KEY=VALUE; btard data tasks lists them",
            group=_TASK,
        ),
    ] = "gpt"
    size: Annotated[str, Option("size of the task's model, such as tiny", group=_TASK)] = "tiny"
    data: Annotated[
        str,
        Option("corpus: builtin, a path, or a Hub data set as OWNER/NAME:CONFIGURATION or hub:OWNER/NAME", group=_TASK),
    ] = "builtin"
    tokenizer: Annotated[
        str | None, Option("path of a tokenizer.json; with none one is trained from the corpus", group=_TASK)
    ] = None
    cache_dir: Annotated[Path | None, Option("where tokenised data are kept", group=_TASK)] = None

    batch_size: Annotated[
        int, Field(ge=1, le=2**20), Option("samples of a peer in a step", unit="samples", group=_TRAINING)
    ] = 8
    max_grad_norm: Annotated[
        float, Field(ge=0), Option("longer gradients are scaled down to this norm, 0 for never", group=_TRAINING)
    ] = 1.0
    precision: Annotated[Precision, Option("arithmetic of forward and backward", group=_TRAINING)] = Precision.FLOAT32
    seed: Annotated[int, Field(ge=0, lt=2**63), Option("seed of the initial weights", group=_TRAINING)] = 1337

    device: Annotated[Device, Option("auto takes CUDA where there is one, else the CPU", group=_MEASUREMENT)] = (
        Device.AUTO
    )
    samples: Annotated[
        int, Field(ge=1, le=10_000), Option("how many gradients to compare", unit="gradients", group=_MEASUREMENT)
    ] = 20
    output: Annotated[Path, Option("where the tolerance is written", group=_MEASUREMENT)] = Path("tolerance.json")


def main(argv: Sequence[str]) -> int:
    """Measure as the words say, print the table, write the file, and return the exit code.

    Raises:
        UserError: the words are wrong, the task cannot be had, the file not written, or no tolerance tells a liar.
    """
    from btard.configuration import load_settings

    settings = load_settings(CalibrateSettings, argv, program="btard calibrate")

    from rich.console import Console
    from rich.progress import Progress

    from btard.errors import UserError
    from btard.peer.trainer import chosen_device
    from btard.swarm.calibration import CalibrationWork, measure, table, tolerance
    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.spec import DataSpec
    from btard.tasks.registry import check_task, load_task
    from btard.tasks.training_state import best_device

    check_task(settings.task, settings.size)
    if settings.output.is_dir() or not settings.output.absolute().parent.is_dir():
        raise UserError(f"--output is {settings.output}, but must be a file in a folder that exists")
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
