"""Phase 1, commit: everyone's hashes reach everyone before any part leaves (paper, Alg. 1: the barrier)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, ComputeGradient, EncodeParts, SketchVector
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import MAX_CANDIDATES, Commit, Phase
from btard.round.messages.opening import Opening
from btard.round.randomness import secret_share, share_commitment
from btard.round.work.answers import GradientComputed
from btard.round.work.examination import Finding
from btard.round.work.own import OwnWork
from btard.round.work.seals import opening_excess, opening_of, salt_of, seal_of


class CommitPhase:
    """Broadcast the hashes of the own parts and of a share of randomness; wait for those of all members.

    A validator commits to no parts, and not before it has examined its target: it seals what it has recomputed. One of
    the step before opens its seal, and its target compares.
    """

    phase = Phase.COMMIT

    def __init__(
        self, context: StepContext, attempt: Attempt, decided: bytes, own: OwnWork, banned: Collection[PeerId] = ()
    ) -> None:
        self._context = context
        self._decided = decided
        self._banned = banned
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._own = own
        self._debt = context.debts.of(attempt.seats.me)
        self._vector: tuple[tuple[bytes, ...], bytes] | None = None
        self._committed = False

    def enter(self) -> list[Action]:
        """Ask for the own vector, once a step, and for its parts as soon as it is there; or for the examination."""
        return [*self._ask_sketch(), *self._ask_vector()]

    def _ask_sketch(self) -> list[Action]:
        """Ask, once a step, for what the own vector of two steps ago gives along the direction of its opening."""
        context, debt = self._context, self._debt
        if debt is None or context.debts.vector is None or self._seats.number:
            return []
        return [SketchVector(context.number, debt.direction, context.debts.vector)]

    def _ask_vector(self) -> list[Action]:
        seats = self._seats
        if seats.me in seats.submitting:
            if self._own.gradient is not None:
                return self.computed(self._own.gradient)
            return [ComputeGradient(seats.roster)] if seats.number == 0 else []
        target = seats.target
        if target is not None and target not in self._own.examined and target not in self._banned:
            return [self._context.examine(target)]
        return self._commit((), b"")

    def computed(self, gradient: GradientComputed) -> list[Action]:
        """Ask for the parts of the own vector; a peer that has become a validator has no use for it."""
        if self._seats.me not in self._seats.submitting:
            return []
        context, number = self._context, self._seats.number
        vector = context.behaviour.vector(context.number, number, gradient.vector)
        return [EncodeParts(number, self._seats.partition.count, vector)]

    def ask_others(self, target: PeerId, finding: Finding) -> list[Action]:
        """Look once more, by what all voters are shown, where a target has shown nothing."""
        if not finding.withheld or target in self._own.asked_through:
            return []
        self._own.asked_through.add(target)
        return [self._context.examine_through(target, self._seats.voters)]

    def encoded(self, parts: tuple[memoryview, ...], digests: tuple[bytes, ...]) -> list[Action]:
        """Commit to the own parts."""
        assert self._own.gradient is not None
        self._carried.keep_rows(self._seats.me, parts)
        return self._commit(digests, self._own.gradient.momentum)

    def examined(self) -> list[Action]:
        """The target has been examined and not been accused."""
        return self._commit((), b"")

    def _commit(self, digests: tuple[bytes, ...], momentum: bytes) -> list[Action]:
        self._vector = digests, momentum
        return self.publish()

    def publish(self) -> list[Action]:
        """Commit, once everything is there that it takes."""
        seats = self._seats
        attempt, context = self._attempt, self._context
        waits = self._debt is not None and context.debts.vector is not None and self._own.sketch is None
        if self._vector is None or waits or self._committed:
            return []
        digests, momentum = self._vector
        share, salt = secret_share(context.key, seats.draw_id)
        sealed = share_commitment(seats.me, seats.attempt_id, share, salt)
        laggards = tuple(peer for peer in context.pace.laggards() if peer in seats.known)[:MAX_CANDIDATES]
        promises = (seats.attempt_id, context.parameters, self._decided, digests, sealed, momentum)
        named = context.candidates
        commit = Commit(*promises, named.peers, laggards, self._seal(), self._opening(), named.clients)
        self._committed = True
        return context.publish(
            attempt, MessageKind.COMMIT, context.behaviour.commit(context.number, commit, attempt.view)
        )

    def _seal(self) -> bytes:
        """Return the seal over what this peer has recomputed as a validator."""
        context, target = self._context, self._seats.target
        if target is None:
            return b""
        made = self._own.recomputed(target)
        seal = b"" if made is None else seal_of(salt_of(context.key, context.roster), made.digest)
        return context.behaviour.seal(context.number, seal)

    def _opening(self) -> Opening | None:
        """Return what opens the seal that this peer has made in the step before."""
        context, debt = self._context, self._debt
        if debt is None or debt.validator != self._seats.me or context.previous is None:
            return None
        salt = salt_of(context.key, context.previous.seats.roster)
        made = None if self._own.sketch is None else opening_of(salt, self._own.sketch)
        return context.behaviour.opening(context.number, made)

    def charge(self) -> Charge | None:
        """Return the accusation of a validator that did not recompute what this peer has sent.

        There is none where most voters are too new to know of the debt.
        """
        debt, made, previous = self._debt, self._own.sketch, self._context.previous
        if debt is None or made is None or previous is None or debt.target != self._seats.me:
            return None
        judges = self._seats.voters & debt.record.seats.known & previous.seats.known
        if debt.validator not in self._seats.known or not self._seats.is_majority(len(judges)):
            return None
        rules, opening = self._seats.rules, self._said.commits[debt.validator].opening
        if opening is None or not debt.is_paid_by(opening):
            return Charge(ChargeKind.NO_OPENING, debt.validator, 0)
        off = opening_excess(opening, debt.seal, made, rules)
        false = rules.verification.opening.accuses(off)
        return Charge(ChargeKind.FALSE_OPENING, debt.validator, 0) if false else None

    def busy(self) -> bool:
        """Whether the own parts, or the examination, are not ready."""
        return not self._committed

    def complete(self) -> bool:
        """Whether everyone has committed."""
        return len(self._said.commits) == len(self._seats.members) and not self.missing()

    def halfway(self) -> bool:
        """Whether most have committed."""
        return self._seats.most_have_sent(self._said.commits)

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
