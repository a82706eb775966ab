"""Phase 4, agree: one digest of the whole attempt, which all its members must sign before anything moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Finished
from btard.round.attempt import Attempt, StepRules, context_digest
from btard.round.messages import Digest, Fault, Phase
from btard.round.phases import StepContext
from btard.round.roster import Roster


class AgreePhase:
    """Broadcast the digest of commits, aggregates and the next roster; wait for the same from all members."""

    phase = Phase.AGREE

    def __init__(self, step: StepContext, attempt: Attempt, banned: frozenset[PeerId]) -> None:
        self._step = step
        self._attempt = attempt
        self.following = next_roster(attempt, banned)
        self.digest = Digest(attempt.context, attempt.transcript(), step.parameters, self.following.digest)

    def enter(self) -> list[Action]:
        """Sign the digest."""
        send = self._step.broadcast(self._attempt, MessageKind.DIGEST, self.digest.encode())
        self._attempt.digests[self._attempt.me] = self.digest
        return [send]

    def busy(self) -> bool:
        """Nothing is left to do but to wait: never."""
        return False

    def missing(self) -> dict[PeerId, Fault]:
        """Return who has not signed, or has signed something else."""
        faults = {}
        for peer in self._attempt.others:
            digest = self._attempt.digests.get(peer)
            if digest != self.digest:
                faults[peer] = Fault.NO_DIGEST if digest is None else Fault.OTHER_DIGEST
        return faults

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._attempt.rules.agree

    def finished(self) -> Finished:
        """Return the step's result; the phase must be complete."""
        members = self._attempt.members
        return self.finished_by(tuple(self._attempt.signed[MessageKind.DIGEST, peer] for peer in members))

    def finished_by(self, certificate: tuple[Envelope, ...]) -> Finished:
        """Return the step's result under a certificate for this very digest."""
        attempt = self._attempt
        refused = {attempt.members[i] for aggregate in attempt.aggregates.values() for i in aggregate.refused}
        return Finished(
            step=attempt.roster.step,
            attempt=attempt.number,
            flat=attempt.flat,
            roster=self.following,
            certificate=certificate,
            contributors=len(attempt.members),
            refused=frozenset(refused),
        )


def next_roster(attempt: Attempt, banned: frozenset[PeerId]) -> Roster:
    """Return the roster that follows: the attempt's members and whoever more than half of them would admit."""
    votes = Counter(candidate for commit in attempt.commits.values() for candidate in commit.candidates)
    joined = [candidate for candidate, count in votes.items() if count * 2 > len(attempt.members)]
    return attempt.roster.successor(attempt.members, joined, banned)


def check_certificate(
    envelopes: Iterable[Envelope], rules: StepRules, roster: Roster
) -> tuple[tuple[PeerId, ...], Digest]:
    """Check that signed digests prove the end of a step of `roster`.

    Returns:
        The members of the attempt that finished, and what they signed.

    Raises:
        Malformed: the authors are no majority of the roster, signed different digests, or not this step's.
    """
    signed = sorted(envelopes, key=lambda envelope: envelope.author)
    members = tuple(envelope.author for envelope in signed)
    if len(set(members)) != len(members) or not set(members) <= set(roster.members):
        raise Malformed("signed by others than members of the roster")
    if 2 * len(members) <= len(roster.members):
        raise Malformed(f"signed by {len(members)} of {len(roster.members)}: no majority")
    kinds = {(e.run, e.step, e.attempt, e.kind, e.body) for e in signed}
    if len(kinds) != 1:
        raise Malformed("the signed digests differ")
    run, step, attempt, kind, body = kinds.pop()
    digest = Digest.decode(body)
    expected = (rules.run, roster.step, MessageKind.DIGEST, context_digest(rules, roster, attempt, members))
    if (run, step, kind, digest.context) != expected:
        raise Malformed("the signed digests belong to another step")
    return members, digest
