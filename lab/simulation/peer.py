"""A simulated peer of the laboratory: it keeps little, and tells the simulation what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from btard.behaviour import Behaviour
from btard.round.actions import Finished, Stopped, Voided
from btard.round.roster import Roster
from btard.transport.memory import SimulatedPeer

Event = Finished | Stopped | Voided


class Listener(Protocol):
    """Wants to know what happens to peers."""

    def happened(self, peer: LabPeer, event: Event) -> None:
        """A step is finished (x^t has not moved yet), an attempt is void, or the peer has stopped."""

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """The peer holds x^{t+1}, and has not begun the next step."""


@dataclass
class LabPeer(SimulatedPeer):
    """A simulated peer with a number.

    Attributes:
        number: in the order of making, from 0.
        honest: whether it has the honest behaviour.
        listeners: in the order in which they are told.
        running: whether it is in the middle of its steps.
        steps_done: how many steps it has finished.
    """

    number: int = 0
    honest: bool = True
    listeners: list[Listener] = field(default_factory=list)
    running: bool = False
    steps_done: int = 0

    def begin(self, roster: Roster) -> None:
        self.running = True
        super().begin(roster)
        if type(self.behaviour).foretell is not Behaviour.foretell:
            self.network.at(self.network.now + self.compute_seconds / 2, partial(self._foretell, roster))

    def _foretell(self, roster: Roster) -> None:
        """Let colluders know the own gradient before any of them decides: in one thread nobody can wait for another."""
        if not self.crashed and self.session.roster is roster:
            self.behaviour.foretell(roster.step, self.honest_vector(roster))

    def note(self, event: Event) -> None:
        """Tell the listeners, and keep this event alone."""
        # Thousands of steps must not pile up; `roster` and `stopped` need the last event only.
        self.history = [event]
        if isinstance(event, Finished):
            self.steps_done += 1
            self.running = event.step < self.last_step
        elif isinstance(event, Stopped):
            self.running = False
        for listener in self.listeners:
            listener.happened(self, event)

    def finish(self, result: Finished) -> None:
        super().finish(result)
        self.running = self.running and not self.crashed
        # Nobody has begun the next step yet: listeners compare states, and hand them to newcomers.
        for listener in self.listeners:
            listener.moved(self, result)
