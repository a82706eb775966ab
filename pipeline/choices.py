"""What those that run a pipeline choose by name, without what it takes to compute."""

from __future__ import annotations

from enum import StrEnum


class OptimizerKind(StrEnum):
    """How weights follow gradients."""

    ADAMW = "adamw"
    ADAM = "adam"
    SGD = "sgd"


class CheckMode(StrEnum):
    """How stages check each other."""

    LIVE = "live"
    """Each stage from the third on trains a duplicate of the one before; the first and the last are drawn."""
    DRAWN = "drawn"
    """A stage drawn for a step gets the record of another one, and computes its step again."""


class AfterAlarm(StrEnum):
    """How a step goes on after an alarm."""

    SKIP = "skip"
    """The suspects are passed by."""
    RESTART = "restart"
    """All do it again."""
