"""What installed packages add to the project, each as an entry point of one group: tasks, behaviours.

Our own are entry points, too: there is one list, and a package adds to it without a line of this project. The price is
that the project must be installed (`make install` does it), which the console scripts need anyway.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points

from btard.errors import UserError


@dataclass(frozen=True)
class Plugins:
    """One group of entry points.

    Attributes:
        group: such as `btard.tasks`.
        kind: what one of them is called in sentences, such as `the task`.
        nothing: what is said when there is none at all, not even one of our own.
    """

    group: str
    kind: str
    nothing: str

    def names(self) -> tuple[str, ...]:
        """Return all installed names in alphabetical order; imports nothing.

        Raises:
            UserError: none is installed.
        """
        found = _installed(self.group, tuple(sys.path))
        if not found:
            raise UserError(f"no {self.nothing}: install the project, for example by `make install`")
        return tuple(sorted(found.names))

    def find(self, name: str) -> EntryPoint | None:
        """Return the entry point of this name, or None for an unknown one; imports nothing.

        Raises:
            UserError: nothing is installed, or several packages claim the name.
        """
        if name not in self.names():
            return None
        found = list(_installed(self.group, tuple(sys.path)).select(name=name))
        if len(found) > 1:
            packages = " and ".join(sorted(package_of(entry) for entry in found))
            raise UserError(f"{self.kind} {name} is claimed by {packages}: uninstall all of them but one")
        return found[0]

    def load(self, entry: EntryPoint) -> object:
        """Import what an entry point names, and nothing else.

        Raises:
            UserError: it cannot be imported; the sentence says why.
        """
        try:
            return entry.load()
        except Exception as error:  # a stranger's module may raise anything while it is imported
            raise UserError(
                f"{self.kind} {entry.name} cannot be imported from the package {package_of(entry)}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}"
            ) from error


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that an entry point comes from."""
    return entry.dist.name if entry.dist else entry.module


@lru_cache(maxsize=8)
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Return the entry points of the packages on this path; finding them reads files of all, so once is enough."""
    return entry_points(group=group)
