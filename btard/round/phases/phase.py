"""What a phase of an attempt is to the step that runs it, and where that stands."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from btard.identity import PeerId
from btard.round.actions import Action
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase


class StepStage(Enum):
    """Where a step stands for one peer."""

    RUNNING = auto()
    """An attempt goes through its phases."""
    SETTLING = auto()
    """The attempt is given up, and on its way to a resolution: see `SettlementStage`."""
    OVER = auto()
    """The step is finished, or this peer has stopped."""


class PhaseOfAttempt(Protocol):
    """One phase: what it does when it begins, what it still waits for, and how long."""

    phase: Phase

    def enter(self) -> list[Action]:
        """Begin the phase."""

    def busy(self) -> bool:
        """Whether the own work of the phase is still to be done."""

    def complete(self) -> bool:
        """Whether nothing is missing; cheaper than to say what is."""

    def halfway(self) -> bool:
        """Whether half of what the phase waits for has come; never where it waits for nothing that all send."""

    def missing(self) -> dict[PeerId, Fault]:
        """Return what the phase still lacks, by peer; empty when it is complete but for own work."""

    def seconds(self) -> float:
        """How long the phase may take."""


HOPELESS = frozenset({Fault.OTHER_STATE, Fault.OTHER_VIEW, Fault.OTHER_DIGEST})
"""Faults that waiting does not mend."""
