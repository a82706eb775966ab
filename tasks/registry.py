"""Finds a task by name and size; imports only the one that is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec

if TYPE_CHECKING:
    from btard.tasks.base import Task
    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.prepare import ProgressListener

TASK_SIZES: Mapping[str, tuple[str, ...]] = {
    "albert": ("tiny", "large"),
    "digits": ("tiny",),
    "gpt": ("tiny", "small"),
}
"""Every task and its sizes, smallest first."""


def check_task(name: str, size: str) -> None:
    """Checks a task's name and size without importing it.

    Raises:
        UserError: unknown; the sentence lists the known ones.
    """
    if name not in TASK_SIZES:
        raise UserError(f"there is no task {name!r}; known tasks are {', '.join(TASK_SIZES)}")
    if size not in TASK_SIZES[name]:
        raise UserError(f"the task {name} has no size {size!r}; it has {', '.join(TASK_SIZES[name])}")


def load_task(
    name: str,
    size: str,
    data: DataSpec | None = None,
    cache_dir: Path | None = None,
    progress: "ProgressListener | None" = None,
    access: "HubAccess | None" = None,
) -> "Task":
    """The task with its data ready.

    Args:
        name: a key of `TASK_SIZES`.
        size: one of its sizes.
        data: the corpus, the built-in one by default.
        cache_dir: where tokenised corpora are kept, `~/.cache/btard/data` by default.
        progress: is called while a corpus is tokenised.
        access: what the owner of this machine allows a Hub data set; a default otherwise.

    Raises:
        UserError: unknown task or size, or its data cannot be had.
    """
    check_task(name, size)
    spec = data or DataSpec()
    if name == "digits":
        from btard.tasks.digits import DigitsTask

        return DigitsTask.load(spec)
    if name == "gpt":
        from btard.tasks.gpt import GptTask

        return GptTask.load(size, spec, cache_dir, progress, access)
    from btard.tasks.albert import AlbertTask

    return AlbertTask.load(size, spec, cache_dir, progress, access)
