"""What the members of one attempt have said: signed messages, what they prove, and the checks that each must pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from btard.hashing import tagged_digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.attempt.columns import scalars_malformation
from btard.round.attempt.seats import Seats
from btard.round.messages.accusations import Report, Vote, Waiters
from btard.round.messages.attachments import Papers
from btard.round.messages.bodies import (
    BROADCAST_FORMS,
    Aggregate,
    Commit,
    Digest,
    PartHeader,
    Reveal,
    Scalars,
    contradict,
)
from btard.round.messages.form import form_fault

# Every arrival asks for it, and a look into an enumeration takes as long as one into three dictionaries.
_AGGREGATE = MessageKind.AGGREGATE

Broadcast = Commit | Reveal | Scalars | Digest
"""What every member sends to all."""


class Said:
    """The messages of one attempt; of each kind and author the first one counts.

    Attributes:
        commits, reveals, scalars, digests: the broadcasts, read, by author.
        aggregates: the commitments to aggregates, by owner.
        signed: the first signed message of each kind and author.
        headers: the signed headers of parts, by (author, part).
        contradictions: two messages of an author that contradict each other.
        malformed: one message of a wrong form, of each author that has signed one.
        papers: signed messages that others have carried here.
        signers: the voters that have signed what reports show about delays; of as many reports as `papers` are.
    """

    def __init__(self, seats: Seats, papers: Papers | None = None) -> None:
        """Begin with nothing, but for papers that have been read already."""
        self._seats = seats
        self.papers = Papers() if papers is None else papers
        self.commits: dict[PeerId, Commit] = {}
        self.aggregates: dict[PeerId, Aggregate] = {}
        self.reveals: dict[PeerId, Reveal] = {}
        self.scalars: dict[PeerId, Scalars] = {}
        self.digests: dict[PeerId, Digest] = {}
        self.signed: dict[tuple[MessageKind, PeerId], Envelope] = {}
        self.headers: dict[tuple[PeerId, int], Envelope] = {}
        self.contradictions: dict[PeerId, tuple[Envelope, Envelope]] = {}
        self.malformed: dict[PeerId, Envelope] = {}
        self.signers: dict[Waiters, tuple[PeerId, ...]] = {}
        self._well_formed = _well_formed(seats.attempt_id)
        self._roster_members = frozenset(seats.roster.members)
        self._places: dict[MessageKind, dict[PeerId, Any]] = {
            MessageKind.COMMIT: self.commits,
            MessageKind.REVEAL: self.reveals,
            MessageKind.SCALARS: self.scalars,
            MessageKind.DIGEST: self.digests,
        }

    @property
    def alarm(self) -> bool:
        """Whether somebody has signed what an honest peer does not."""
        return bool(self.contradictions or self.malformed)

    @property
    def contradicting(self) -> tuple[Envelope, ...]:
        """All messages that contradict each other."""
        return tuple(envelope for pair in self.contradictions.values() for envelope in pair)

    def note(self, envelope: Envelope) -> bool:
        """Keep the first signed message of its kind and author; a second, different one is proof of equivocation.

        Returns:
            Whether this is the first.
        """
        key = (envelope.kind, envelope.author)
        first = self.signed.setdefault(key, envelope)
        if first is not envelope and contradict(first, envelope):
            self.contradictions.setdefault(envelope.author, (first, envelope))
        return first is envelope

    def note_aggregate(self, envelope: Envelope) -> None:
        """Keep an owner's commitment to its aggregate, of which the signature verifies."""
        self.signed.setdefault((_AGGREGATE, envelope.author), envelope)
        self.aggregates[envelope.author] = envelope.read(Aggregate)

    def hear_aggregate(self, envelope: Envelope) -> None:
        """Look at an owner's commitment to an aggregate; only of what is new the signature is verified, which raises
        Malformed if it is false."""
        known = self.signed.get((_AGGREGATE, envelope.author))
        new = known is None or known.content_digest() != envelope.content_digest()
        if new and envelope.author not in self.contradictions:
            envelope.verify()
            self.note(envelope)

    def note_header(self, author: PeerId, part: int, envelope: Envelope) -> None:
        """Keep the header of a part, whatever has been kept of it before."""
        self.headers[author, part] = envelope

    def compare(self, envelopes: Iterable[Envelope]) -> None:
        """Look for contradictions between what others attach to reports and what their authors told this peer."""
        for envelope in envelopes:
            first = self.signed.get((envelope.kind, envelope.author))
            if first is not None and contradict(first, envelope):
                self.contradictions.setdefault(envelope.author, (first, envelope))

    def file(self, envelope: Envelope) -> Broadcast | None:
        """Keep a COMMIT, REVEAL, SCALARS or DIGEST; one of a wrong form is a proof against its author, and not read.

        Returns:
            The message, if it is the first of its author and counts.
        """
        seats, kind, author = self._seats, envelope.kind, envelope.author
        if self.signed.setdefault((kind, author), envelope) is not envelope:
            self.note(envelope)
            if form_fault(envelope) is not None:
                self.accuse_malformed(envelope)
            return None
        if self._well_formed.get(id(envelope)) is not envelope:
            if self.malformation(envelope) is not None:
                self.accuse_malformed(envelope)
                return None
            self._well_formed[id(envelope)] = envelope
        form = BROADCAST_FORMS.get(kind)
        if form is None:
            return None
        message = envelope.read(form)
        if isinstance(message, Scalars) and (message.attempt_id != seats.attempt_id or author not in seats.submitting):
            return None
        self._places[kind][author] = message
        return message

    def accuse_malformed(self, envelope: Envelope) -> None:
        """Keep a message of a wrong form, to be shown to all; one that no report can hold convinces nobody."""
        if envelope.size <= self._seats.caps.evidence:
            self.malformed.setdefault(envelope.author, envelope)

    def accuse_still(self, malformed: Iterable[Envelope]) -> None:
        """Accuse of what came too late for a report of the attempt before, and is wrong in any."""
        for envelope in malformed:
            if envelope.author in self._seats.known and form_fault(envelope) is not None:
                self.accuse_malformed(envelope)

    def malformation(self, envelope: Envelope) -> str | None:
        """Return what is wrong with the form of a signed message of this attempt, or None.

        A message of another view of the membership is not malformed: its author may have been told something else. What
        is wrong by the bytes alone is so in any attempt.
        """
        fault = form_fault(envelope)
        if fault is not None:
            return fault
        if envelope.kind is MessageKind.REPORT:
            report = envelope.read(Report)
            # Signatures of others than the roster's members are not looked at: keys are free.
            ours = self._roster_members.issuperset(report.members)
            return self._forged_attachment(report.attached) if ours else None
        if envelope.kind is MessageKind.VOTE:
            vote = envelope.read(Vote)
            return self._forged_attachment(vote.attached) if vote.attempt_id == self._seats.attempt_id else None
        form = BROADCAST_FORMS.get(envelope.kind)
        if form is None:
            return None
        seats, message = self._seats, envelope.read(form)
        if isinstance(message, Scalars) and message.attempt_id == seats.attempt_id:
            return scalars_malformation(envelope.body, seats.partition, seats.tau)
        if not isinstance(message, Commit) or message.attempt_id != seats.attempt_id:
            return None
        # What a validator commits to beside its share is of no use to anyone, and no offence.
        if envelope.author not in seats.submitting:
            return None
        if len(message.parts) != seats.partition.count:
            return f"commits to {len(message.parts)} parts where there are {seats.partition.count}"
        if bool(message.momentum) != (seats.rules.verification.momentum > 0):
            return "commits to a momentum where there is none, or to none where there is one"
        return None

    def _forged_attachment(self, attached: Iterable[bytes]) -> str | None:
        """Return that a signature inside is false, which its author has not verified."""
        try:
            for data in attached:
                self.papers.read(data)
        except Malformed as error:
            return f"attaches what its author has not signed: {error}"
        return None

    def carried(self, attached: Iterable[bytes]) -> tuple[Envelope, ...]:
        """Return the messages of members that a well-formed report or vote attaches; raises Malformed."""
        return tuple(e for e in map(self.papers.read, attached) if e.author in self._seats.known)

    def mismatches(self) -> Iterator[tuple[Envelope, Envelope]]:
        """Yield (commit, header) of senders whose signed part header contradicts their signed commit, one of each."""
        found: set[PeerId] = set()
        for (peer, part), header in self.headers.items():
            commit = self.commits.get(peer) if peer not in found else None
            if commit is None or commit.attempt_id != self._seats.attempt_id or part >= len(commit.parts):
                continue
            if commit.parts[part] != header.read(PartHeader).digest and header.is_genuine():
                found.add(peer)
                yield self.signed[MessageKind.COMMIT, peer], header

    def transcript(self) -> bytes:
        """Return the digest over all commits, aggregates, reveals and scalars in roster order."""
        seats = self._seats
        authors = {
            MessageKind.COMMIT: seats.members,
            MessageKind.AGGREGATE: seats.owners,
            MessageKind.REVEAL: seats.members,
            MessageKind.SCALARS: seats.submitters,
        }
        signed = [self.signed[kind, peer].content_digest() for kind, peers in authors.items() for peer in peers]
        return tagged_digest("btard transcript", seats.attempt_id, *signed)


@lru_cache(maxsize=2)
def _well_formed(attempt_id: bytes) -> dict[int, Envelope]:
    """Return the broadcasts of an attempt that somebody has found well-formed, by their `id`: the peers of a simulation
    look at the same ones."""
    return {}
