"""Finding a behaviour by its name, among our own and those of packages installed from outside.

All of them are entry points of one group, ours too: there is one list, and a package adds to it without our code. The
price is that the project must be installed (`make install` does it), which the console scripts need anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import cast

from btard.behaviour import Behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.errors import UserError

BEHAVIOURS_GROUP = "btard.behaviours"
"""Each entry point of this group is an attack type and a callable (settings, seed) -> Behaviour."""

BehaviourFactory = Callable[[BehaviourSettings, bytes], Behaviour]


def make_behaviour(settings: BehaviourSettings, *, seed: bytes) -> Behaviour:
    """Return the behaviour that `settings.attack_type` names.

    Args:
        settings: handed to the behaviour.
        seed: of the behaviour's own draws; different for every peer.

    Raises:
        UserError: no installed package knows the name, several do, or the one that does cannot be imported.
    """
    name = settings.attack_type
    installed = _installed(entry_points)
    found = list(installed.select(name=name))
    if not installed:
        raise UserError("no behaviour is installed, not even NONE: install the project, for example by `make install`")
    if not found:
        known = ", ".join(sorted(installed.names))
        raise UserError(f"ATTACK_TYPE is {name!r}, but must be one of those installed: {known}")
    if len(found) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in found))
        raise UserError(f"ATTACK_TYPE {name} is claimed by {packages}: uninstall all of them but one")
    return _factory(found[0])(settings, seed)


@lru_cache(maxsize=1)
def _installed(find: Callable[..., EntryPoints]) -> EntryPoints:
    """Return what `find` finds, which reads the files of every installed package: once a process is enough."""
    return find(group=BEHAVIOURS_GROUP)


def _factory(entry: EntryPoint) -> BehaviourFactory:
    try:
        return cast(BehaviourFactory, entry.load())
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise UserError(
            f"ATTACK_TYPE {entry.name} cannot be imported from the package {_package(entry)}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module
