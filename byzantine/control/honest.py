"""Does nothing wrong: the behaviour named NONE."""

from __future__ import annotations

from btard.behaviour import Behaviour
from btard.byzantine.settings import BehaviourSettings


def honest(settings: BehaviourSettings, seed: bytes) -> Behaviour:
    """Return the honest behaviour; the schedule's settings mean nothing to it."""
    return Behaviour()
