"""The names of installed behaviours; looked up without importing any."""

from __future__ import annotations

import difflib

from btard.errors import UserError
from btard.plugins import Plugins

BEHAVIOURS_GROUP = "btard.behaviours"
"""Each entry point of this group is an attack type and a callable (settings, seed) -> Behaviour."""

BEHAVIOURS = Plugins(BEHAVIOURS_GROUP, "ATTACK_TYPE", "behaviour is installed, not even NONE")


def check_installed(name: str, setting: str) -> None:
    """Check that a behaviour of this name is installed; `setting` is the flag or variable that gave it.

    Raises:
        UserError: no installed package knows the name, or several do.
    """
    if BEHAVIOURS.find(name) is None:
        close = difflib.get_close_matches(name, BEHAVIOURS.names(), n=1)
        hint = f"; perhaps {close[0]} was meant" if close else ""
        known = ", ".join(BEHAVIOURS.names())
        raise UserError(f"{setting} is {name!r}, but must be one of those installed: {known}{hint}")
