"""Finding a behaviour by its name, among our own and those of packages installed from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from btard.behaviour import Behaviour
from btard.byzantine.installed import BEHAVIOURS, check_installed
from btard.byzantine.settings import BehaviourSettings

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
    check_installed(name, "ATTACK_TYPE")
    entry = BEHAVIOURS.find(name)
    assert entry is not None
    return cast(BehaviourFactory, BEHAVIOURS.load(entry))(settings, seed)
