"""Phase 1, commit: everyone's hashes reach everyone before any part leaves (paper, Alg. 1: the barrier)."""

from __future__ import annotations

from collections import Counter

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, ComputeGradient, EncodeParts
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Commit, Phase
from btard.round.randomness import secret_share, share_commitment
from btard.round.work.answers import GradientComputed


class CommitPhase:
    """Broadcast the hashes of the own parts and of a share of randomness; wait for those of all members.

    A validator commits to no parts, and not before it has examined its target. `gradient` is what this peer submits in
    the step, once that is computed.
    """

    phase = Phase.COMMIT

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        decided: bytes,
        *,
        examined: bool,
        gradient: GradientComputed | None = None,
    ) -> None:
        self._context = context
        self._decided = decided
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._examined = examined
        self._gradient = gradient
        self._committed = False

    def enter(self) -> list[Action]:
        """Ask for the own vector, once a step, and for its parts as soon as it is there; or for the examination."""
        seats = self._seats
        if seats.me in seats.submitting:
            if self._gradient is not None:
                return self.computed(self._gradient)
            return [ComputeGradient(seats.roster)] if seats.number == 0 else []
        if not self._examined and seats.target is not None:
            return [self._context.examine(seats.target)]
        return self._commit((), b"")

    def computed(self, gradient: GradientComputed) -> list[Action]:
        """Ask for the parts of the own vector; a peer that has become a validator has no use for it."""
        self._gradient = gradient
        if self._seats.me not in self._seats.submitting:
            return []
        context, number = self._context, self._seats.number
        vector = context.behaviour.vector(context.number, number, gradient.vector)
        return [EncodeParts(number, self._seats.partition.count, vector)]

    def encoded(self, parts: tuple[memoryview, ...], digests: tuple[bytes, ...]) -> list[Action]:
        """Commit to the own parts."""
        assert self._gradient is not None
        self._carried.keep_rows(self._seats.me, parts)
        return self._commit(digests, self._gradient.momentum)

    def examined(self) -> list[Action]:
        """The target has been examined and not been accused."""
        return self._commit((), b"")

    def _commit(self, digests: tuple[bytes, ...], momentum: bytes) -> list[Action]:
        seats = self._seats
        attempt, context = self._attempt, self._context
        share, salt = secret_share(context.key, seats.attempt_id)
        sealed = share_commitment(seats.me, seats.attempt_id, share, salt)
        commit = Commit(
            seats.attempt_id, context.parameters, self._decided, digests, sealed, momentum, context.candidates
        )
        self._committed = True
        return context.publish(
            attempt, MessageKind.COMMIT, context.behaviour.commit(context.number, commit, attempt.view)
        )

    def busy(self) -> bool:
        """Whether the own parts, or the examination, are not ready."""
        return not self._committed

    def complete(self) -> bool:
        """Whether everyone has committed."""
        return len(self._said.commits) == len(self._seats.members) and not self.missing()

    def missing(self) -> dict[PeerId, Fault]:
        """Return the peers that have not committed, or on another state or membership."""
        faults = {}
        for peer in self._seats.others:
            commit = self._said.commits.get(peer)
            if commit is None:
                faults[peer] = Fault.NO_COMMIT
            elif commit.parameters != self._context.parameters:
                faults[peer] = Fault.OTHER_STATE
            elif (commit.attempt_id, commit.decided) != (self._seats.attempt_id, self._decided):
                faults[peer] = Fault.OTHER_VIEW
        return faults

    def outvoted(self) -> bool:
        """Whether most voters committed on one state, and it is not ours."""
        commits = self._said.commits
        votes = Counter(commits[peer].parameters for peer in self._seats.voters if peer in commits)
        if not votes:
            return False
        state, count = votes.most_common(1)[0]
        return self._seats.is_majority(count) and state != self._context.parameters

    def passed_elsewhere(self) -> bool:
        """Whether somebody sends what no honest member sends before it holds all commitments: so they exist."""
        said = self._said
        return bool(said.headers or said.aggregates or said.reveals)

    def seconds(self) -> float:
        """How long the phase may take, computing the gradient included."""
        return self._seats.rules.commit_seconds
