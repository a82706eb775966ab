"""The round of the protocol without commitments, MPRNG, checks and validators: what their cost is measured against.

Parts still travel under headers with their hashes, owners still sign what they aggregate, and all members still sign
one digest before anything moves. A peer that sends or aggregates what it likes is not caught.
"""

from __future__ import annotations

from dataclasses import replace

from btard.hashing import tagged_digest
from btard.identity import MessageKind, PeerId
from btard.round.actions import Action
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.messages.bodies import Commit, Digest, Phase
from btard.round.phases.agree import AgreePhase, next_roster
from btard.round.phases.commit import CommitPhase
from btard.round.session import Session
from btard.round.step import StepMachine


class _NoCommitment(CommitPhase):
    """Hashes the own parts for their headers, and goes on at once."""

    def _commit(self, digests: tuple[bytes, ...], momentum: bytes) -> list[Action]:
        attempt, context = self._attempt, self._context
        nothing = Commit(attempt.seats.attempt_id, context.parameters, self._decided, (), bytes(32), momentum, ())
        attempt.said.commits.update(dict.fromkeys(attempt.seats.members, nothing))
        attempt.said.commits[attempt.seats.me] = replace(nothing, parts=digests)
        self._committed = True
        return []

    def passed_elsewhere(self) -> bool:
        """There is no barrier to pass."""
        return False


class _AgreeOnAggregates(AgreePhase):
    """Signs the hashes of the aggregates and the next roster."""

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self.attempt = attempt
        attempt.results.randomness = tagged_digest("unchecked", attempt.seats.roster.randomness)
        self.following = next_roster(attempt, frozenset(), 0)
        signed = (attempt.said.signed[MessageKind.AGGREGATE, owner].content_digest() for owner in attempt.seats.owners)
        transcript = tagged_digest("btard transcript", attempt.seats.attempt_id, *signed)
        self.digest = Digest(attempt.seats.attempt_id, transcript, context.parameters, self.following.digest)


class _UncheckedStep(StepMachine):
    """Goes from the own parts to SCATTER, GATHER and AGREE."""

    def _new_attempt(self, number: int, members: tuple[PeerId, ...]) -> None:
        super()._new_attempt(number, members)
        commit = _NoCommitment(self._context, self.attempt, self.standing.decided, self.own)
        self._course.commit = self._course.phase = commit

    def _next_phase(self, now: float) -> list[Action]:
        if self._course.phase.phase is not Phase.GATHER:
            return super()._next_phase(now)
        self._course.phase = self._course.agree = _AgreeOnAggregates(self._context, self.attempt)
        return self._enter(now)


class UncheckedSession(Session):
    """A peer that checks nothing. Without a barrier it must have begun a step before anybody sends it parts."""

    machine_type = _UncheckedStep
