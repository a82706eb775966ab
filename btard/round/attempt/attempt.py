"""Everything one attempt at a step has received, and the checks that each message passes before it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from btard.behaviour import View
from btard.hashing import tagged_digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.attempt.columns import scalar_fault
from btard.round.draw import ranking
from btard.round.messages.accusations import Report
from btard.round.messages.attachments import Papers
from btard.round.messages.bodies import (
    BROADCAST_FORMS,
    Aggregate,
    Commit,
    Digest,
    Item,
    PartHeader,
    Reveal,
    Scalars,
    contradict,
)
from btard.round.messages.caps import Caps, caps_of
from btard.round.messages.form import form_fault
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.vectors.aggregation import part_equation, part_tau
from btard.round.vectors.buffers import BufferPool
from btard.round.vectors.partition import Partition

# Every arrival asks for them, and a look into an enumeration takes as long as one into three dictionaries.
_PART, _AGGREGATE = MessageKind.PART, MessageKind.AGGREGATE


def context_digest(rules: StepRules, roster: Roster, attempt: int, members: tuple[PeerId, ...]) -> bytes:
    """Return the 32 bytes that name an attempt: run, roster, number and membership."""
    return tagged_digest("btard attempt", rules.run, roster.digest, attempt.to_bytes(2, "big"), b"".join(members))


@dataclass
class Attempt:
    """The records of one attempt. `number` counts from 0 within the step.

    Attributes:
        members: take part in agreement and randomness, ascending.
        submitters: members that commit to a gradient: all but validators.
        workers: submitters whose gradients count: all but newcomers on probation.
        owners: the workers in the order of the parts that they own, drawn from r^{t-1}.
        pool: where the memory of parts comes from, None for fresh memory.
        rows: parts of others and of this peer, by (author, part).
        column: (product, norm) of everyone's row of the own part, as this peer measured them.
        excess: how many times its tolerance a part's aggregate is off, where that has been looked at.
        randomness: r^t, once all shares are revealed.
        malformed: one message of a wrong form, of each author that has signed one.
        papers: signed messages that others have carried here.
        caps: how long messages may be, and how many.
    """

    rules: StepRules
    roster: Roster
    number: int
    members: tuple[PeerId, ...]
    me: PeerId
    parameters: bytes
    pool: BufferPool | None = None
    commits: dict[PeerId, Commit] = field(default_factory=dict)
    rows: dict[tuple[PeerId, int], memoryview] = field(default_factory=dict)
    aggregates: dict[PeerId, Aggregate] = field(default_factory=dict)
    gathered: set[PeerId] = field(default_factory=set)
    reveals: dict[PeerId, Reveal] = field(default_factory=dict)
    scalars: dict[PeerId, Scalars] = field(default_factory=dict)
    digests: dict[PeerId, Digest] = field(default_factory=dict)
    broken: set[tuple[MessageKind, PeerId]] = field(default_factory=set)
    signed: dict[tuple[MessageKind, PeerId], Envelope] = field(default_factory=dict)
    headers: dict[tuple[PeerId, int], Envelope] = field(default_factory=dict)
    contradictions: dict[PeerId, tuple[Envelope, Envelope]] = field(default_factory=dict)
    malformed: dict[PeerId, Envelope] = field(default_factory=dict)
    in_flight: dict[tuple[PeerId, Item], memoryview] = field(default_factory=dict)
    pulled: set[tuple[PeerId, Item]] = field(default_factory=set)
    column: dict[PeerId, tuple[float, float]] = field(default_factory=dict)
    aggregate_norms: tuple[float, ...] = ()
    excess: dict[int, float] = field(default_factory=dict)
    randomness: bytes = b""
    alarm: bool = False
    papers: Papers = field(default_factory=Papers)

    def __post_init__(self) -> None:
        self.context = context_digest(self.rules, self.roster, self.number, self.members)
        self.known = frozenset(self.members)
        self.caps: Caps = caps_of(len(self.roster.members))
        self.voters = self.roster.voters & self.known
        validators = self.roster.validators
        newcomers = self.roster.newcomers
        self.submitters = tuple(peer for peer in self.members if peer not in validators)
        self._submitting = frozenset(self.submitters)
        self._roster_members = frozenset(self.roster.members)
        self.workers = tuple(peer for peer in self.submitters if peer not in newcomers)
        self.owners = tuple(ranking(self.roster.randomness, "owner", self.workers))
        self.part_of = {peer: part for part, peer in enumerate(self.owners)}
        self.my_part = self.part_of.get(self.me)
        self.partition = Partition(self.rules.dimension, max(1, len(self.owners)), self.rules.wire)
        self.equation = part_equation(self.rules.aggregation, self.partition.count)
        self.tau = part_tau(self.rules.aggregation, self.partition.count)
        self.target = validators.get(self.me)
        self._places: dict[MessageKind, dict[PeerId, Any]] = {
            MessageKind.COMMIT: self.commits,
            MessageKind.REVEAL: self.reveals,
            MessageKind.SCALARS: self.scalars,
            MessageKind.DIGEST: self.digests,
        }

    def buffer(self, length: int) -> memoryview:
        """Return memory for so many bytes."""
        return memoryview(bytearray(length)) if self.pool is None else self.pool.take(length)

    def release_rows(self) -> None:
        """Let go of the rows of a finished attempt, but for the memory that something may still be written into."""
        for (author, _), row in self.rows.items():
            if self.pool is not None and author != self.me:
                self.pool.give(row)
        self.rows.clear()

    def release(self) -> None:
        """Let go of the aggregates of a finished attempt, which nobody will ask about any more."""
        if self.pool is not None and not self.in_flight:
            self.pool.give(self.flat)

    @cached_property
    def flat(self) -> memoryview:
        """The wire bytes of all aggregates; where they have not come, anything."""
        return self.buffer(self.rules.dimension * self.rules.wire.size)

    @property
    def others(self) -> tuple[PeerId, ...]:
        """The members but this peer, beginning after it, so that not all begin with the same receiver."""
        here = self.members.index(self.me)
        return self.members[here + 1 :] + self.members[:here]

    @property
    def view(self) -> View:
        """What a behaviour may know."""
        wire, longest = self.partition.wire, self.rules.aggregation.part_norm(self.partition.count)
        return View(self.roster, self.me, self.members, self.owners, self.tau, self.column, wire, longest)

    def is_majority(self, count: int) -> bool:
        """Whether so many voters are more than half of those in the attempt."""
        return 2 * count > len(self.voters)

    def note(self, envelope: Envelope) -> bool:
        """Keep the first signed message of its kind and author; a second, different one is proof of equivocation.

        Returns:
            Whether this is the first.
        """
        key = (envelope.kind, envelope.author)
        first = self.signed.setdefault(key, envelope)
        if first is not envelope and contradict(first, envelope):
            self.contradictions.setdefault(envelope.author, (first, envelope))
            self.alarm = True
        return first is envelope

    def compare(self, envelopes: Iterable[Envelope]) -> None:
        """Look for contradictions between what others attach to reports and what their authors told this peer."""
        for envelope in envelopes:
            first = self.signed.get((envelope.kind, envelope.author))
            if first is not None and contradict(first, envelope):
                self.contradictions.setdefault(envelope.author, (first, envelope))
                self.alarm = True

    def learn(self, envelopes: Iterable[Envelope]) -> None:
        """Take up broadcasts that their authors kept from this peer, and others attach to reports: an owner that was
        not told a false product could not accuse its author, and would be blamed for the sum."""
        for envelope in envelopes:
            known = (envelope.kind, envelope.author) in self.signed
            if not known and envelope.kind is not MessageKind.AGGREGATE and envelope.attempt == self.number:
                self.file(envelope)

    def file(self, envelope: Envelope) -> None:
        """Keep a COMMIT, REVEAL, SCALARS or DIGEST; one of a wrong form is a proof against its author, and not read."""
        kind, author = envelope.kind, envelope.author
        if self.signed.setdefault((kind, author), envelope) is not envelope:
            self.note(envelope)
            if form_fault(envelope) is not None:
                self.accuse_malformed(envelope)
            return
        if not envelope.fits(self.rules, self.context):
            if self.malformation(envelope) is not None:
                self.accuse_malformed(envelope)
                return
            envelope.found_fit(self.rules, self.context)
        form = BROADCAST_FORMS.get(kind)
        if form is None:
            return
        message = envelope.read(form)
        if isinstance(message, Scalars) and (message.context != self.context or author not in self._submitting):
            return
        self._places[kind][author] = message
        if self.headers and isinstance(message, Commit):
            self._recheck_rows(author, message)

    def _recheck_rows(self, author: PeerId, commit: Commit) -> None:
        """Drop rows that came before their author's commitment and contradict it."""
        for owner, part in [key for key in self.rows if key[0] == author and author != self.me]:
            digest = self.headers[owner, part].read(PartHeader).digest
            if part >= len(commit.parts) or commit.parts[part] != digest:
                del self.rows[owner, part]
                self._break(MessageKind.PART, author)

    def accuse_malformed(self, envelope: Envelope) -> None:
        """Keep a message of a wrong form, to be shown to all; one that no report can hold convinces nobody."""
        if envelope.size <= self.caps.evidence:
            self.malformed.setdefault(envelope.author, envelope)
            self.alarm = True

    def accuse_still(self, malformed: Iterable[Envelope]) -> None:
        """Accuse of what came too late for a report of the attempt before, and is wrong in any."""
        for envelope in malformed:
            if envelope.author in self.known and form_fault(envelope) is not None:
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
            return self._forged_attachment(envelope.read(Report))
        form = BROADCAST_FORMS.get(envelope.kind)
        if form is None:
            return None
        message: object = envelope.read(form)
        if isinstance(message, Scalars) and message.context == self.context:
            return scalar_fault(envelope.body, self.partition, self.tau)
        if not isinstance(message, Commit) or message.context != self.context:
            return None
        # What a validator commits to beside its share is of no use to anyone, and no offence.
        if envelope.author not in self._submitting:
            return None
        if len(message.parts) != self.partition.count:
            return f"commits to {len(message.parts)} parts where there are {self.partition.count}"
        if bool(message.momentum) != (self.rules.verification.momentum > 0):
            return "commits to a momentum where there is none, or to none where there is one"
        return None

    def _forged_attachment(self, report: Report) -> str | None:
        """Return that a signature in a report is false, which its author has not verified. Signatures of others than
        the roster's members are not looked at: keys are free."""
        if not self._roster_members.issuperset(report.members):
            return None
        try:
            for data in report.attached:
                self.papers.read(data)
        except Malformed as error:
            return f"attaches what its author has not signed: {error}"
        return None

    def told_by(self, report: Report) -> tuple[Envelope, ...]:
        """Return the messages of members that a well-formed report attaches."""
        if not self._roster_members.issuperset(report.members):
            raise Malformed("a report of another roster")
        return tuple(e for e in map(self.papers.read, report.attached) if e.author in self.known)

    def accept(self, sender: PeerId, envelope: Envelope, length: int) -> memoryview | None:
        """Return the buffer for an announced payload, or None when it is not wanted; raises Malformed."""
        author = envelope.author
        if author not in self.known or author == self.me:
            return None
        if envelope.kind is _PART:
            part = envelope.read(PartHeader).part
            direct = sender == author and part == self.my_part and author in self.part_of
            present = (author, part) in self.rows
        else:
            envelope.read(Aggregate)
            part = self.part_of.get(author, -1)
            direct = sender == author and part >= 0
            present = author in self.gathered
            if part >= 0 and direct:
                self._note_header(envelope)
        item = (envelope.kind, author, part)
        flight = (sender, item)
        if present or flight in self.in_flight or not (direct or flight in self.pulled) or part >= self.partition.count:
            return None
        if length != self.partition.length(part):
            if direct:
                self._break(envelope.kind, author)
            return None
        if envelope.kind is _PART:
            if direct:
                self.headers[author, part] = envelope
            buffer = self.buffer(length)
        else:
            if author not in self.aggregates:
                envelope.verify()
                self.signed.setdefault((_AGGREGATE, author), envelope)
                self.aggregates[author] = envelope.read(Aggregate)
            shared = bool(self.in_flight) and any(other == item for _, other in self.in_flight)
            buffer = memoryview(bytearray(length)) if shared else self.partition.view(self.flat, part)
        self.in_flight[flight] = buffer
        return buffer

    def _note_header(self, envelope: Envelope) -> None:
        """Note a commitment to an aggregate; only what is new is worth looking at its signature, which may raise."""
        known = self.signed.get((_AGGREGATE, envelope.author))
        new = known is None or known.content_digest() != envelope.content_digest()
        if new and envelope.author not in self.contradictions:
            envelope.verify()
            self.note(envelope)

    def complete(self, sender: PeerId, envelope: Envelope, digest: bytes) -> Item | None:
        """File a payload that has arrived whole; returns it if it is the one that its author committed to.

        One whose bytes are not those of its signed header counts as broken; a header that contradicts the commitment is
        a proof (see `mismatches`).
        """
        announced = b""
        if envelope.kind is _PART:
            header = envelope.read(PartHeader)
            part, announced = header.part, header.digest
        else:
            part = self.part_of.get(envelope.author, -1)
        item = (envelope.kind, envelope.author, part)
        buffer = self.in_flight.pop((sender, item), None)
        if buffer is None:
            return None
        author = envelope.author
        direct = sender == author
        if envelope.kind is _PART:
            commit = self.commits.get(author)
            promised = commit.parts[part] if commit and part < len(commit.parts) else None
            if digest != announced or (promised is not None and promised != digest):
                if direct:
                    self._break(envelope.kind, author)
                return None
            self.rows.setdefault((author, part), buffer)
            self.headers.setdefault((author, part), envelope)
        else:
            if digest != self.aggregates[author].digest:
                if direct:
                    self._break(envelope.kind, author)
                return None
            target = self.partition.view(self.flat, part)
            if author not in self.gathered:
                target[:] = buffer  # a copy onto itself unless another sender was first
            self.gathered.add(author)
        self.broken.discard((envelope.kind, author))
        return item

    def failed(self, sender: PeerId, envelope: Envelope) -> None:
        """An accepted payload will not come."""
        for flight in [f for f in self.in_flight if f[0] == sender and f[1][:2] == (envelope.kind, envelope.author)]:
            del self.in_flight[flight]
            if sender == envelope.author:
                self._break(envelope.kind, sender)

    def _break(self, kind: MessageKind, author: PeerId) -> None:
        self.broken.add((kind, author))
        self.alarm = True

    def mismatches(self) -> Iterator[tuple[Envelope, Envelope]]:
        """Yield (commit, header) of senders whose signed part header contradicts their signed commit, one of each."""
        found: set[PeerId] = set()
        for (peer, part), header in self.headers.items():
            commit = self.commits.get(peer) if peer not in found else None
            if commit is None or commit.context != self.context or part >= len(commit.parts):
                continue
            if commit.parts[part] != header.read(PartHeader).digest and header.is_genuine():
                found.add(peer)
                yield self.signed[MessageKind.COMMIT, peer], header

    def holds(self, item: Item) -> memoryview | None:
        """Return the bytes of a part or an aggregate that this peer has."""
        kind, author, part = item
        if kind is MessageKind.PART:
            return self.rows.get((author, part))
        return self.partition.view(self.flat, part) if author in self.gathered else None

    def transcript(self) -> bytes:
        """Return the digest over all commits, aggregates, reveals and scalars in roster order."""
        authors = {
            MessageKind.COMMIT: self.members,
            MessageKind.AGGREGATE: self.owners,
            MessageKind.REVEAL: self.members,
            MessageKind.SCALARS: self.submitters,
        }
        signed = [self.signed[kind, peer].content_digest() for kind, peers in authors.items() for peer in peers]
        return tagged_digest("btard transcript", self.context, *signed)
