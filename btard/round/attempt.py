"""Everything one attempt at a step has received, and the checks that each message passes before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from btard.hashing import tagged_digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.messages import Aggregate, Commit, Digest, PartHeader
from btard.round.partition import Partition, WireType
from btard.round.roster import Roster


@dataclass(frozen=True)
class StepRules:
    """What the run manifest says about a step.

    Attributes:
        run: 16 bytes that name the run.
        dimension: numbers in a gradient.
        wire: how they travel.
        commit, scatter, gather, agree: deadlines of the phases in seconds; the first includes computing the gradient.
        settle: seconds that one signed message may take to reach everyone (the bound on delay).
    """

    run: bytes
    dimension: int
    wire: WireType
    commit: float
    scatter: float
    gather: float
    agree: float
    settle: float


def context_digest(rules: StepRules, roster: Roster, attempt: int, members: tuple[PeerId, ...]) -> bytes:
    """Return the 32 bytes that name an attempt: run, roster, number and membership."""
    return tagged_digest("btard attempt", rules.run, roster.digest, attempt.to_bytes(2, "big"), b"".join(members))


@dataclass
class Attempt:
    """The records of one attempt. `number` counts from 0 within the step."""

    rules: StepRules
    roster: Roster
    number: int
    members: tuple[PeerId, ...]
    me: PeerId
    parameters: bytes
    own_parts: tuple[memoryview, ...] = ()
    own_digests: tuple[bytes, ...] = ()
    commits: dict[PeerId, Commit] = field(default_factory=dict)
    headers: dict[PeerId, PartHeader] = field(default_factory=dict)
    rows: dict[PeerId, memoryview] = field(default_factory=dict)
    aggregates: dict[PeerId, Aggregate] = field(default_factory=dict)
    gathered: set[PeerId] = field(default_factory=set)
    digests: dict[PeerId, Digest] = field(default_factory=dict)
    broken: set[tuple[MessageKind, PeerId]] = field(default_factory=set)
    signed: dict[tuple[MessageKind, PeerId], Envelope] = field(default_factory=dict)
    contradictions: dict[PeerId, tuple[Envelope, Envelope]] = field(default_factory=dict)
    in_flight: set[tuple[MessageKind, PeerId]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.partition = Partition(self.rules.dimension, len(self.members), self.rules.wire)
        self.position = {peer: i for i, peer in enumerate(self.members)}
        self.my_part = self.position[self.me]
        self.context = context_digest(self.rules, self.roster, self.number, self.members)
        self.flat = memoryview(bytearray(self.rules.dimension * self.rules.wire.size))

    @property
    def others(self) -> tuple[PeerId, ...]:
        """The members but this peer, beginning after it, so that not all begin with the same receiver."""
        return self.members[self.my_part + 1 :] + self.members[: self.my_part]

    def note(self, envelope: Envelope) -> bool:
        """Keep the first signed message of its kind and author; a second, different one is proof of equivocation.

        Returns:
            Whether this is the first.
        """
        key = (envelope.kind, envelope.author)
        first = self.signed.setdefault(key, envelope)
        if first.content_digest() != envelope.content_digest():
            self.contradictions.setdefault(envelope.author, (first, envelope))
        return first is envelope

    def add_commit(self, envelope: Envelope) -> None:
        """Keep a commit; raises Malformed when it cannot belong here."""
        commit = Commit.decode(envelope.body)
        if commit.context == self.context and len(commit.parts) != len(self.members):
            raise Malformed("another number of parts")
        if self.note(envelope):
            self.commits[envelope.author] = commit

    def add_digest(self, envelope: Envelope) -> None:
        """Keep a digest; raises Malformed."""
        digest = Digest.decode(envelope.body)
        if self.note(envelope):
            self.digests[envelope.author] = digest

    def accept(self, envelope: Envelope, length: int) -> memoryview | None:
        """Return the buffer for an announced payload, or None when it is not wanted; raises Malformed."""
        key = (envelope.kind, envelope.author)
        if envelope.author not in self.position or envelope.author == self.me or key in self.in_flight:
            return None
        if envelope.kind is MessageKind.PART:
            header = PartHeader.decode(envelope.body)
            if header.part != self.my_part or envelope.author in self.rows:
                return None
            if length != self.partition.length(self.my_part):
                self.broken.add(key)
                return None
            self.note(envelope)
            self.headers[envelope.author] = header
            self.in_flight.add(key)
            return memoryview(bytearray(length))
        owner = envelope.author
        aggregate = Aggregate.decode(envelope.body)
        if any(position >= len(self.members) for position in aggregate.refused):
            raise Malformed("a refused position beyond the last member")
        if owner in self.gathered:
            self.note(envelope)
            return None
        if length != self.partition.length(self.position[owner]):
            self.broken.add(key)
            return None
        self.note(envelope)
        self.aggregates[owner] = aggregate
        self.in_flight.add(key)
        return self.partition.view(self.flat, self.position[owner])

    def complete(self, envelope: Envelope, payload: memoryview, digest: bytes) -> None:
        """File a payload that has arrived; one whose bytes are not those of its signed header counts as broken."""
        key = (envelope.kind, envelope.author)
        if key not in self.in_flight:
            return
        self.in_flight.discard(key)
        author = envelope.author
        announced = self.headers[author].digest if envelope.kind is MessageKind.PART else self.aggregates[author].digest
        if digest != announced:
            self.broken.add(key)
        elif envelope.kind is MessageKind.PART:
            self.rows[author] = payload
        else:
            self.gathered.add(author)

    def failed(self, envelope: Envelope) -> None:
        """An accepted payload will not come."""
        key = (envelope.kind, envelope.author)
        if key in self.in_flight:
            self.in_flight.discard(key)
            self.broken.add(key)

    def part_mismatches(self) -> Iterator[tuple[PeerId, Envelope, Envelope]]:
        """Yield the senders whose signed part header contradicts their signed commit, with both envelopes."""
        for peer, header in self.headers.items():
            commit = self.commits.get(peer)
            if commit and commit.context == self.context and commit.parts[self.my_part] != header.digest:
                yield peer, self.signed[MessageKind.COMMIT, peer], self.signed[MessageKind.PART, peer]

    def transcript(self) -> bytes:
        """Return the digest over all commits and aggregates in roster order."""
        kinds = (MessageKind.COMMIT, MessageKind.AGGREGATE)
        return tagged_digest(
            "btard transcript",
            self.context,
            *(self.signed[kind, peer].content_digest() for kind in kinds for peer in self.members),
        )
