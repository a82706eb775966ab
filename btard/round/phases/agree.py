"""Phase 7, agree: one digest of the whole attempt, which all its members must sign before anything moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Finished
from btard.round.admission import admit
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats, attempt_id_of
from btard.round.context import StepContext
from btard.round.draw import draw_audits
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Digest, Phase
from btard.round.roster import Roster
from btard.round.rules import StepRules


class AgreePhase:
    """Broadcast the digest of the whole transcript and of the next roster; wait for the same from all members."""

    phase = Phase.AGREE

    def __init__(self, context: StepContext, attempt: Attempt, banned: frozenset[PeerId], redraws: int) -> None:
        self._context = context
        self.attempt = attempt
        self.following = next_roster(attempt, banned, redraws)
        self.digest = Digest(
            attempt.seats.attempt_id, attempt.said.transcript(), context.parameters, self.following.digest
        )

    def enter(self) -> list[Action]:
        """Sign the digest."""
        return self._context.publish(self.attempt, MessageKind.DIGEST, self.digest)

    def busy(self) -> bool:
        """Nothing is left to do but to wait: never."""
        return False

    def complete(self) -> bool:
        """Whether all members have signed the same."""
        return len(self.attempt.said.digests) == len(self.attempt.seats.members) and not self.missing()

    def halfway(self) -> bool:
        """Whether most have signed."""
        return self.attempt.seats.most_have_sent(self.attempt.said.digests)

    def missing(self) -> dict[PeerId, Fault]:
        """Return the peers that have not signed, or have signed something else."""
        faults = {}
        for peer in self.attempt.seats.others:
            digest = self.attempt.said.digests.get(peer)
            if digest != self.digest:
                faults[peer] = Fault.NO_DIGEST if digest is None else Fault.OTHER_DIGEST
        return faults

    def seconds(self) -> float:
        """How long the phase may take."""
        return self.attempt.seats.rules.agree_seconds

    def finished(self) -> Finished:
        """Return the step's result; the phase must be complete."""
        members = self.attempt.seats.members
        return self.finished_by(tuple(self.attempt.said.signed[MessageKind.DIGEST, peer] for peer in members))

    def finished_by(self, certificate: tuple[Envelope, ...]) -> Finished:
        """Return the step's result under a certificate for this very digest; one that fewer have signed than are
        members proves nothing to others, which must not take its sender for a liar."""
        attempt = self.attempt
        for signed in certificate:
            attempt.file(signed)
        return Finished(
            step=attempt.seats.roster.step,
            attempt=attempt.seats.number,
            flat=attempt.carried.flat,
            roster=self.following,
            certificate=certificate if len(certificate) == len(attempt.seats.members) else (),
            submitted=attempt.seats.me in attempt.seats.submitting,
        )


def next_roster(attempt: Attempt, banned: frozenset[PeerId], redraws: int) -> Roster:
    """Return the roster that follows: the attempt's members less those that are too slow for most voters and, of those
    that most would admit, all that return and as many new ones as there are places for, with the validators and targets
    that r^t draws; `redraws` counts attempts of this step that failed after shares had been revealed."""
    seats, results, commits = attempt.seats, attempt.results, attempt.said.commits
    rules = seats.rules.verification
    named = _of_most(seats, (commits[peer].candidates for peer in seats.voters))
    clients = _of_most(seats, (commits[peer].clients for peer in seats.voters))
    slow = _of_most(seats, (commits[peer].laggards for peer in seats.voters))
    members = tuple(peer for peer in seats.members if peer not in slow)
    joined = admit(seats.roster, members, named - banned - slow, results.randomness, clients)
    audits = draw_audits(results.randomness, sorted(seats.voters - slow), seats.submitters, rules.validators, redraws)
    return seats.roster.successor(
        members,
        joined,
        banned,
        randomness=results.randomness,
        audits=audits,
        probation_steps=rules.probation,
        clients=clients,
    )


def _of_most(seats: Seats, named: Iterable[tuple[PeerId, ...]]) -> set[PeerId]:
    """Return the peers that most voters name."""
    return {peer for peer, count in Counter(chain.from_iterable(named)).items() if seats.is_majority(count)}


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
    if not roster.is_majority(members):
        raise Malformed(f"signed by {len(members)} of {len(roster.members)}: no majority")
    kinds = {(e.run, e.step, e.attempt, e.kind, e.body) for e in signed}
    if len(kinds) != 1:
        raise Malformed("the signed digests differ")
    run, step, attempt, kind, body = kinds.pop()
    digest = Digest.decode(body)
    expected = (rules.run, roster.step, MessageKind.DIGEST, attempt_id_of(rules, roster, attempt, members))
    if (run, step, kind, digest.attempt_id) != expected:
        raise Malformed("the signed digests belong to another step")
    for envelope in signed:
        envelope.verify()
    return members, digest
