"""One attempt at a step as one peer knows it, and how announced payloads meet what their authors have signed."""

from __future__ import annotations

from collections.abc import Iterable

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.carried import Carried
from btard.round.attempt.results import Results
from btard.round.attempt.said import Said
from btard.round.attempt.seats import Seats
from btard.round.decisions import View
from btard.round.messages.attachments import Papers
from btard.round.messages.bodies import Aggregate, Commit, PartHeader
from btard.round.messages.requests import Item
from btard.vectors.buffers import BufferPool

# Every arrival asks for it, and a look into an enumeration takes as long as one into three dictionaries.
_PART = MessageKind.PART


class Attempt:
    """One attempt at a step.

    Attributes:
        seats: what never changes.
        said: signed messages and what they prove.
        carried: payloads and their memory.
        results: what phases have measured.
    """

    def __init__(self, seats: Seats, *, pool: BufferPool | None = None, papers: Papers | None = None) -> None:
        """Begin an attempt.

        Args:
            pool: where the memory of payloads comes from, None for fresh memory.
            papers: signed messages that others have carried to this peer in an attempt that this one repeats.
        """
        self.seats = seats
        self.said = Said(seats, papers)
        self.carried = Carried(seats, pool)
        self.results = Results()

    @property
    def alarm(self) -> bool:
        """Whether anybody has signed, or sent, what an honest peer does not."""
        return self.carried.alarm or self.said.alarm

    @property
    def view(self) -> View:
        """What a behaviour may know."""
        seats = self.seats
        longest = seats.aggregation.part_norm(seats.partition.count)
        return View(
            seats.roster,
            seats.me,
            seats.members,
            seats.owners,
            seats.tau,
            self.results.column,
            seats.partition.wire,
            longest,
            seats.number,
            seats.rules.verification.validators,
            self.results.randomness,
            seats.validators,
        )

    def file(self, envelope: Envelope) -> None:
        """Keep a broadcast; rows that came before a commitment and contradict it go."""
        message = self.said.file(envelope)
        if self.said.headers and isinstance(message, Commit):
            self._recheck_rows(envelope.author, message)

    def learn(self, envelopes: Iterable[Envelope]) -> None:
        """Take up broadcasts that their authors kept from this peer, and others attach to reports: an owner that was
        not told a false product could not accuse its author, and would be blamed for the sum."""
        for envelope in envelopes:
            known = (envelope.kind, envelope.author) in self.said.signed
            if not known and envelope.kind is not MessageKind.AGGREGATE and envelope.attempt == self.seats.number:
                self.file(envelope)

    def _recheck_rows(self, author: PeerId, commit: Commit) -> None:
        """Drop rows that came before their author's commitment and contradict it."""
        if author == self.seats.me:
            return
        for owner, part in [key for key in self.carried.rows if key[0] == author]:
            digest = self.said.headers[owner, part].read(PartHeader).digest
            if part >= len(commit.parts) or commit.parts[part] != digest:
                self.carried.drop_row(owner, part)

    def keep_aggregate(self, envelope: Envelope, payload: bytes | bytearray | memoryview) -> None:
        """Keep the own aggregate, under the header that commits to it."""
        self.said.note(envelope)
        self.said.note_aggregate(envelope)
        self.carried.keep_aggregate(self.seats.me, payload)

    def accept(self, sender: PeerId, envelope: Envelope, length: int) -> memoryview | None:
        """Return the buffer for an announced payload, or None when it is not wanted; raises Malformed."""
        seats, said, carried, author = self.seats, self.said, self.carried, envelope.author
        if author not in seats.known or author == seats.me:
            return None
        if envelope.kind is _PART:
            part = envelope.read(PartHeader).part
            direct = sender == author and part == seats.my_part and author in seats.working
            present = (author, part) in carried.rows
        else:
            envelope.read(Aggregate)
            part = seats.part_of.get(author, -1)
            direct = sender == author and part >= 0
            present = author in carried.gathered
            if part >= 0 and direct:
                said.hear_aggregate(envelope)
        item = (envelope.kind, author, part)
        flight = (sender, item)
        welcome = direct or flight in carried.pulled
        if present or flight in carried.in_flight or not welcome or part >= seats.partition.count:
            return None
        if length != seats.partition.length(part):
            if direct:
                carried.note_broken(envelope.kind, author)
            return None
        if envelope.kind is _PART:
            if direct:
                said.note_header(author, part, envelope)
        elif author not in said.aggregates:
            envelope.verify()
            said.note_aggregate(envelope)
        return carried.expect(sender, item, length)

    def complete(self, sender: PeerId, envelope: Envelope, digest: bytes) -> Item | None:
        """File a payload that has arrived whole; returns it if it is the one that its author committed to.

        One whose bytes are not those of its signed header counts as broken; a header that contradicts the commitment is
        a proof (see `Said.mismatches`).
        """
        author, kind, said = envelope.author, envelope.kind, self.said
        announced = b""
        if kind is _PART:
            header = envelope.read(PartHeader)
            part, announced = header.part, header.digest
        else:
            part = self.seats.part_of.get(author, -1)
        item = (kind, author, part)
        buffer = self.carried.in_flight.pop((sender, item), None)
        if buffer is None:
            return None
        if kind is _PART:
            commit = said.commits.get(author)
            promised = commit.parts[part] if commit and part < len(commit.parts) else digest
            right = digest == announced == promised
        else:
            right = digest == said.aggregates[author].digest
        if not right:
            if sender == author:
                self.carried.note_broken(kind, author)
            if kind is _PART and sender == author and digest == announced:
                said.headers.setdefault((author, part), envelope)  # which contradicts what this peer was told
            return None
        self.carried.take(item, buffer)
        if kind is _PART:
            said.note_header(author, part, envelope)
        return item

    def failed(self, sender: PeerId, envelope: Envelope) -> None:
        """An accepted payload will not come."""
        self.carried.lose(sender, envelope.kind, envelope.author)
