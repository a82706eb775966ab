"""Phase 1, commit: everyone's hashes reach everyone before any part leaves (paper, Alg. 1: the barrier)."""

from __future__ import annotations

from collections import Counter

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, ComputeGradient, EncodeParts
from btard.round.answers import GradientComputed
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Commit, Phase
from btard.round.phases.phase import StepContext
from btard.round.randomness import secret_share, share_commitment


class CommitPhase:
    """Broadcast the hashes of the own parts and of a share of randomness; wait for those of all members.

    A validator commits to no parts, and not before it has examined its target. `gradient` is what this peer submits in
    the step, once that is computed.
    """

    phase = Phase.COMMIT

    def __init__(
        self,
        step: StepContext,
        attempt: Attempt,
        decided: bytes,
        *,
        examined: bool,
        gradient: GradientComputed | None = None,
    ) -> None:
        self._step = step
        self._decided = decided
        self._attempt = attempt
        self._examined = examined
        self._gradient = gradient
        self._committed = False

    def enter(self) -> list[Action]:
        """Ask for the own vector, once a step, and for its parts as soon as it is there; or for the examination."""
        attempt = self._attempt
        if attempt.me in attempt.submitters:
            if self._gradient is not None:
                return self.computed(self._gradient)
            return [ComputeGradient(attempt.roster)] if attempt.number == 0 else []
        if not self._examined and attempt.target is not None:
            return [self._step.examine(attempt.target)]
        return self._commit((), b"")

    def computed(self, gradient: GradientComputed) -> list[Action]:
        """Ask for the parts of the own vector."""
        self._gradient = gradient
        return [EncodeParts(self._attempt.number, self._attempt.partition.count, gradient.vector)]

    def encoded(self, parts: tuple[memoryview, ...], digests: tuple[bytes, ...]) -> list[Action]:
        """Commit to the own parts."""
        assert self._gradient is not None
        for part, payload in enumerate(parts):
            self._attempt.rows[self._attempt.me, part] = payload
        return self._commit(digests, self._gradient.momentum)

    def examined(self) -> list[Action]:
        """The target has been examined and not been accused."""
        return self._commit((), b"")

    def _commit(self, digests: tuple[bytes, ...], momentum: bytes) -> list[Action]:
        attempt, step = self._attempt, self._step
        share, salt = secret_share(step.key, attempt.context)
        sealed = share_commitment(attempt.me, attempt.context, share, salt)
        commit = Commit(attempt.context, step.parameters, self._decided, digests, sealed, momentum, step.candidates)
        self._committed = True
        return step.publish(attempt, MessageKind.COMMIT, step.behaviour.commit(step.number, commit, attempt.view))

    def busy(self) -> bool:
        """Whether the own parts, or the examination, are not ready."""
        return not self._committed

    def complete(self) -> bool:
        """Whether everyone has committed."""
        return len(self._attempt.commits) == len(self._attempt.members) and not self.missing()

    def missing(self) -> dict[PeerId, Fault]:
        """Return who has not committed, or on another state or membership."""
        faults = {}
        for peer in self._attempt.others:
            commit = self._attempt.commits.get(peer)
            if commit is None:
                faults[peer] = Fault.NO_COMMIT
            elif commit.parameters != self._step.parameters:
                faults[peer] = Fault.OTHER_STATE
            elif (commit.context, commit.decided) != (self._attempt.context, self._decided):
                faults[peer] = Fault.OTHER_VIEW
        return faults

    def outvoted(self) -> bool:
        """Whether most voters committed on one state, and it is not ours."""
        commits = self._attempt.commits
        votes = Counter(commits[peer].parameters for peer in self._attempt.voters if peer in commits)
        if not votes:
            return False
        state, count = votes.most_common(1)[0]
        return self._attempt.is_majority(count) and state != self._step.parameters

    def passed_elsewhere(self) -> bool:
        """Whether somebody sends what no honest member sends before it holds all commitments: so they exist."""
        attempt = self._attempt
        return bool(attempt.headers or attempt.aggregates or attempt.reveals)

    def seconds(self) -> float:
        """How long the phase may take, computing the gradient included."""
        return self._attempt.rules.commit_seconds
