"""Finding a behaviour by its name, among our own and those of packages installed from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from btard.behaviour import Behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.errors import UserError
from btard.plugins import Plugins

BEHAVIOURS_GROUP = "btard.behaviours"
"""Each entry point of this group is an attack type and a callable (settings, seed) -> Behaviour."""

BEHAVIOURS = Plugins(BEHAVIOURS_GROUP, "ATTACK_TYPE", "behaviour is installed, not even NONE")

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
    entry = BEHAVIOURS.find(name)
    if entry is None:
        known = ", ".join(BEHAVIOURS.names())
        raise UserError(f"ATTACK_TYPE is {name!r}, but must be one of those installed: {known}")
    return cast(BehaviourFactory, BEHAVIOURS.load(entry))(settings, seed)
