"""Run while an image is built: does what a daemon does before its first step.

It shows that the packages of the image suffice, and it leaves the bytecode of just the modules that are imported: that
of all would make the image much larger, and without any a container would start twice as slowly, since its user cannot
write bytecode.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

CORE = tuple(
    f"btard.{name}" for name in ("aggregation", "configuration", "identity", "round", "transport", "verification")
)
PACKAGES = {
    "coordinator": (
        *CORE,
        "btard.coordinator",
        "btard.peer",
        "btard.swarm",
        "btard.tasks",
        "btard.cli.coordinator",
        "btard.cli.health",
    ),
    "peer": (
        *CORE,
        "btard.byzantine",
        "btard.peer",
        "btard.swarm",
        "btard.tasks",
        "btard.cli.peer",
        "btard.cli.health",
    ),
}
"""What each program may import."""

WITHOUT = {"coordinator": {"digits"}, "peer": set[str]()}
"""The tasks whose packages an image lacks; it has those of all others that are installed in it."""


def import_all(packages: tuple[str, ...]) -> None:
    """Import these packages with all modules in them."""
    for name in packages:
        module = importlib.import_module(name)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
            importlib.import_module(found.name)


def take_a_step(name: str) -> None:
    """Compute a gradient of a task in its smallest size on its built-in data, apply it, and evaluate the result."""
    import torch

    from btard.tasks.registry import find_task, load_task
    from btard.tasks.training_state import TrainingState

    with tempfile.TemporaryDirectory() as cache:
        task = load_task(name, find_task(name).sizes[0], None, Path(cache))
        state = TrainingState(task, 1, task.schedule, device=torch.device("cpu"))
        seed = bytes(32)
        vector, _ = state.gradient(task.batch(seed, 2), seed, 1.0)
        state.apply(vector)
        state.evaluate()
        state.load_state_bytes(state.state_bytes())


def main() -> int:
    """Warm the program that is named on the command line, with all its tasks or those that are named after it."""
    from btard.tasks.registry import TASKS

    program, *tasks = sys.argv[1:]
    import_all(PACKAGES[program])
    for name in tasks or [name for name in TASKS.names() if name not in WITHOUT[program]]:
        take_a_step(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
