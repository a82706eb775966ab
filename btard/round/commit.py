"""Phase 1, commit: everyone's hashes reach everyone before any part leaves (paper, Alg. 1: the barrier)."""

from __future__ import annotations

from collections import Counter

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, EncodeParts
from btard.round.attempt import Attempt
from btard.round.messages import Commit, Fault, Phase
from btard.round.phases import StepContext


class CommitPhase:
    """Broadcast the hashes of the own parts; wait for those of all members, on the same state x^t."""

    phase = Phase.COMMIT

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt

    def enter(self) -> list[Action]:
        """Ask for the parts."""
        return [EncodeParts(self._attempt.number, len(self._attempt.members))]

    def parts_ready(self, parts: tuple[memoryview, ...], digests: tuple[bytes, ...]) -> list[Action]:
        """Commit to the own parts."""
        attempt, step = self._attempt, self._step
        attempt.own_parts, attempt.own_digests = parts, digests
        committed = step.behaviour.commitments(step.roster.step, digests)
        commit = Commit(attempt.context, step.parameters, committed, step.candidates)
        send = step.broadcast(attempt, MessageKind.COMMIT, commit.encode())
        attempt.commits[attempt.me] = commit
        return [send]

    def busy(self) -> bool:
        """Whether the own parts are not ready."""
        return not self._attempt.own_parts

    def missing(self) -> dict[PeerId, Fault]:
        """Return who has not committed, or on another state or membership."""
        faults = {}
        for peer in self._attempt.others:
            commit = self._attempt.commits.get(peer)
            if commit is None:
                faults[peer] = Fault.NO_COMMIT
            elif commit.context != self._attempt.context or commit.parameters != self._step.parameters:
                faults[peer] = Fault.OTHER_STATE
        return faults

    def outvoted(self) -> bool:
        """Whether more than half of the members committed on one state, and it is not ours."""
        votes = Counter(commit.parameters for commit in self._attempt.commits.values())
        if not votes:
            return False
        state, count = votes.most_common(1)[0]
        return count * 2 > len(self._attempt.members) and state != self._step.parameters

    def passed_elsewhere(self) -> bool:
        """Whether parts came from more than half of the members: an honest one holds all commitments, so they exist."""
        return 2 * len(self._attempt.headers) > len(self._attempt.members)

    def seconds(self) -> float:
        """How long the phase may take, computing the gradient included."""
        return self._attempt.rules.commit
