"""Finds a task by name among those of installed packages; imports only the one that is asked for.

A task is chosen by its name, or with settings of its own as `NAME:KEY=VALUE,KEY=VALUE`.
"""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from btard.configuration.named import Named
from btard.errors import UserError
from btard.plugins import Plugins, package_of
from btard.tasks.data.spec import DataSpec

if TYPE_CHECKING:
    from btard.tasks.base import Task
    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.progress import ProgressListener
    from btard.tasks.settings import TaskSettings

TASKS_GROUP = "btard.tasks"
"""Each entry point of this group is a task's name and its class, a subclass of `btard.tasks.base.Task`."""

TASKS = Plugins(TASKS_GROUP, "the task", "task is installed, not even gpt")


def chosen_task(text: str) -> Named:
    """Read what a user types for a task, and check its name; imports no task.

    Raises:
        UserError: it has another form, or no installed package has a task of this name.
    """
    chosen = Named.parse(text, "the task")
    _entry(chosen.name)
    return chosen


def import_target(name: str) -> str:
    """Return where the class of a task is, as `module:attribute`; imports nothing.

    Raises:
        UserError: no installed package has a task of this name, or several have.
    """
    return _entry(name).value


def find_task(name: str) -> "type[Task]":
    """Return the class of a task, and import its package.

    Raises:
        UserError: no installed package has a task of this name, several have, or the one that has is broken.
    """
    entry = _entry(name)
    found = TASKS.load(entry)

    from btard.tasks.base import Task

    if not (isinstance(found, type) and issubclass(found, Task)):
        raise UserError(f"the task {name} of the package {package_of(entry)} is no subclass of btard.tasks.base.Task")
    if getattr(found, "name", None) != name or not getattr(found, "sizes", ()):
        raise UserError(f"the task {name} of the package {package_of(entry)} must have this name, and sizes")
    return found


def check_task(task: str | Named, size: str) -> Named:
    """Check a task's name, size and settings, and import it, but load no data; return it with all its settings.

    Raises:
        UserError: one is unknown, with the known ones in the sentence; or a setting has no value that it can have.
    """
    found, settings = _settings(task, size)
    return Named(found.name, settings.values)


def load_task(
    task: str | Named,
    size: str,
    data: DataSpec | None = None,
    cache_dir: Path | None = None,
    progress: "ProgressListener | None" = None,
    access: "HubAccess | None" = None,
) -> "Task":
    """The task with its data ready.

    Args:
        task: as a user types it, or the name and the settings of a manifest.
        size: one of its sizes.
        data, cache_dir, progress, access: see `btard.tasks.base.DataRequest`.

    Raises:
        UserError: unknown task, size or setting, or its data cannot be had.
    """
    found, settings = _settings(task, size)

    from btard.tasks.base import DataRequest

    made = found.load(size, settings, DataRequest(data or DataSpec(), cache_dir, progress, access))
    if (made.size, made.settings) != (size, settings):
        raise UserError(f"the task {found.name} is broken: it has forgotten its size or its settings")
    return made


def _entry(name: str) -> EntryPoint:
    entry = TASKS.find(name)
    if entry is None:
        raise UserError(
            f"there is no task {name!r}; known tasks are {', '.join(TASKS.names())}, and another one comes with a "
            "package that has to be installed on this machine"
        )
    return entry


def _settings(task: str | Named, size: str) -> "tuple[type[Task], TaskSettings]":
    chosen = task if isinstance(task, Named) else chosen_task(task)
    found = find_task(chosen.name)
    if size not in found.sizes:
        raise UserError(f"the task {chosen.name} has no size {size!r}; it has {', '.join(found.sizes)}")
    return found, found.Settings.read(chosen.name, chosen.values)
