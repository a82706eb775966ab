"""The phases of one attempt in their order."""

from __future__ import annotations

from collections.abc import Collection

from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item
from btard.round.phases.agree import AgreePhase
from btard.round.phases.check import CheckPhase
from btard.round.phases.commit import CommitPhase
from btard.round.phases.gather import GatherPhase
from btard.round.phases.measure import MeasurePhase
from btard.round.phases.phase import PhaseOfAttempt
from btard.round.phases.reveal import RevealPhase
from btard.round.phases.scatter import ScatterPhase


class Course:
    """An attempt's way through its phases. What CHECK and AGREE do follows from r^t, so they are made in their turn.

    Attributes:
        phase: the current one.
    """

    def __init__(self, context: StepContext, attempt: Attempt, exchange: Exchange, commit: CommitPhase) -> None:
        """Make ready to enter COMMIT."""
        self._context = context
        self._attempt = attempt
        self._exchange = exchange
        self.commit = commit
        self.scatter = ScatterPhase(context, attempt)
        self.gather = GatherPhase(context, attempt)
        self.reveal = RevealPhase(context, attempt)
        self.measure = MeasurePhase(context, attempt)
        self.check: CheckPhase | None = None
        self.agree: AgreePhase | None = None
        self.phase: PhaseOfAttempt = commit

    def reached(self, charge: Charge | None) -> Phase:
        """How far this peer is, which may accuse somebody: beyond MEASURE as soon as it has all numbers, and accuses
        nobody of those about its own part."""
        phase = self.phase
        calm = charge is None or charge.kind is ChargeKind.WRONG_SUM
        measured = calm and phase is self.measure and not phase.busy() and phase.complete()
        return Phase.CHECK if measured else phase.phase

    def charge(self) -> Charge | None:
        """Return what the current phase, which is complete, accuses a peer of."""
        match self.phase:
            case CommitPhase() | MeasurePhase() | CheckPhase():
                return self.phase.charge()
        return None

    @property
    def may_accuse(self) -> bool:
        """Whether the current phase is one after which a peer may accuse; after COMMIT only where there is a reason."""
        return isinstance(self.phase, MeasurePhase | CheckPhase) or self.charge() is not None

    def waits(self) -> bool:
        """Whether the current phase clearly lacks somebody's message."""
        said, members = self._attempt.said, len(self._attempt.seats.members)
        if self.phase is self.commit:
            return len(said.commits) < members and not self.commit.passed_elsewhere()
        return self.phase is not self.agree or len(said.digests) < members

    def wanted(self) -> list[Item] | None:
        """Return the parts or aggregates that the current phase lacks; None for one in which none travel."""
        match self.phase:
            case ScatterPhase() | GatherPhase() | CheckPhase():
                return self.phase.wanted()
        return None

    def go_on(self, banned: Collection[PeerId], redraws: int) -> bool:
        """Go on to the next phase, if there is one, and return whether there is.

        Args:
            banned: by earlier attempts at the step.
            redraws: how many of them failed after r^t may have been known.
        """
        match self.phase.phase:
            case Phase.COMMIT:
                self.phase = self.scatter
            case Phase.SCATTER:
                self.phase = self.gather
            case Phase.GATHER:
                self.phase = self.reveal
            case Phase.REVEAL:
                self.reveal.draw()
                self.phase = self.measure
            case Phase.MEASURE:
                self.phase = self.check = CheckPhase(self._attempt, self._exchange)
            case Phase.CHECK:
                self.phase = self.agree = AgreePhase(self._context, self._attempt, frozenset(banned), redraws)
            case Phase.AGREE:
                return False
        return True
