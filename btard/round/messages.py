"""The bodies of a step's messages: what each says, and its canonical bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from btard.behaviour import LeaveReason
from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, as_text, ascending, decode, encode
from btard.identity.envelope import MAX_ENVELOPE
from btard.round.roster import MAX_PEERS, peer_set

MAX_CANDIDATES = 64
MAX_PART = 1 << 31
"""Bytes; the longest part that a header may announce."""


class Phase(IntEnum):
    """Where an attempt stands."""

    COMMIT = 1
    SCATTER = 2
    GATHER = 3
    AGREE = 4


class Fault(IntEnum):
    """What a peer misses of another in a failed attempt."""

    NO_COMMIT = 1
    OTHER_STATE = 2
    NO_PART = 3
    BROKEN_PART = 4
    NO_AGGREGATE = 5
    BROKEN_AGGREGATE = 6
    NO_DIGEST = 7
    OTHER_DIGEST = 8


@dataclass(frozen=True)
class Commit:
    """Broadcast: the hashes of all parts, before any part leaves (paper: h_i^j).

    Attributes:
        context: digest of the attempt's membership.
        parameters: digest of the training state x^t.
        parts: one digest a part, in roster order.
        candidates: newcomers that the author would admit, ascending.
    """

    context: bytes
    parameters: bytes
    parts: tuple[bytes, ...]
    candidates: tuple[PeerId, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.context, self.parameters, list(self.parts), [bytes(c) for c in self.candidates]])

    @classmethod
    def decode(cls, body: bytes) -> Commit:
        """Read bytes from the network; raises Malformed."""
        context, parameters, parts, candidates = as_fields(decode(body, limit=MAX_ENVELOPE), 4)
        return cls(
            as_bytes(context, DIGEST_SIZE),
            as_bytes(parameters, DIGEST_SIZE),
            tuple(as_bytes(part, DIGEST_SIZE) for part in as_list(parts, most=MAX_PEERS)),
            peer_set(as_list(candidates, most=MAX_CANDIDATES)),
        )


@dataclass(frozen=True)
class PartHeader:
    """Ahead of a part on its way to its owner. Signed, so that a digest other than the committed one is proof."""

    part: int
    digest: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.part, self.digest])

    @classmethod
    def decode(cls, body: bytes) -> PartHeader:
        """Read bytes from the network; raises Malformed."""
        part, digest = as_fields(decode(body, limit=256), 2)
        return cls(as_int(part, 0, MAX_PEERS - 1), as_bytes(digest, DIGEST_SIZE))


@dataclass(frozen=True)
class Aggregate:
    """Ahead of an aggregated part on its way to everyone: the commitment to it (paper: hhat^j).

    Attributes:
        digest: of the aggregate's bytes, the same for every receiver.
        refused: positions of the rows left out because they hold NaN or infinity, ascending.
    """

    digest: bytes
    refused: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.digest, list(self.refused)])

    @classmethod
    def decode(cls, body: bytes) -> Aggregate:
        """Read bytes from the network; raises Malformed."""
        digest, refused = as_fields(decode(body, limit=1 << 14), 2)
        positions = tuple(as_int(i, 0, MAX_PEERS - 1) for i in as_list(refused, most=MAX_PEERS))
        if not ascending(positions):
            raise Malformed("refused positions are not ascending")
        return cls(as_bytes(digest, DIGEST_SIZE), positions)


@dataclass(frozen=True)
class Digest:
    """Broadcast: the author holds every commitment and every aggregate of the attempt.

    Attributes:
        context: digest of the attempt's membership.
        transcript: digest over all commits and aggregates in roster order.
        parameters: digest of x^t, the state before this step: a certificate proves it to newcomers.
        following: digest of the next roster.
    """

    context: bytes
    transcript: bytes
    parameters: bytes
    following: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.context, self.transcript, self.parameters, self.following])

    @classmethod
    def decode(cls, body: bytes) -> Digest:
        """Read bytes from the network; raises Malformed."""
        fields = as_fields(decode(body, limit=256), 4)
        return cls(*(as_bytes(field, DIGEST_SIZE) for field in fields))


@dataclass(frozen=True)
class Report:
    """Broadcast by a peer that cannot finish the attempt: what it misses, and signed messages that convict.

    Attributes:
        phase: where the author stands.
        reaction: the author is held up only by peers whose reports came first.
        members: the attempt's members as the author sees them.
        complaints: (peer, fault), ascending.
        attached: encoded envelopes of others.
    """

    phase: Phase
    reaction: bool
    members: tuple[PeerId, ...]
    complaints: tuple[tuple[PeerId, Fault], ...]
    attached: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(
            [
                int(self.phase),
                int(self.reaction),
                [bytes(m) for m in self.members],
                [[bytes(peer), int(fault)] for peer, fault in self.complaints],
                list(self.attached),
            ]
        )

    @classmethod
    def decode(cls, body: bytes) -> Report:
        """Read bytes from the network; raises Malformed."""
        phase, reaction, members, complaints, attached = as_fields(decode(body, limit=MAX_ENVELOPE), 5)
        pairs = [as_fields(item, 2) for item in as_list(complaints, most=MAX_PEERS)]
        accused = peer_set([peer for peer, _ in pairs])
        try:
            faults = [Fault(as_int(fault, 0, 255)) for _, fault in pairs]
            where = Phase(as_int(phase, 0, 255))
        except ValueError as error:
            raise Malformed(str(error)) from None
        return cls(
            where,
            bool(as_int(reaction, 0, 1)),
            peer_set(members),
            tuple(zip(accused, faults, strict=True)),
            tuple(as_bytes(item, most=MAX_ENVELOPE) for item in as_list(attached, most=4 * MAX_PEERS)),
        )


@dataclass(frozen=True)
class Relay:
    """Broadcast while settling: the reports and goodbyes that the author holds, so that what one got, all get.

    Attributes:
        index, total: this message of so many, since one message is bounded.
        reports: encoded envelopes.
    """

    index: int
    total: int
    reports: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.index, self.total, list(self.reports)])

    @classmethod
    def decode(cls, body: bytes) -> Relay:
        """Read bytes from the network; raises Malformed."""
        index, total, reports = as_fields(decode(body, limit=MAX_ENVELOPE), 3)
        count = as_int(total, 1, MAX_PEERS)
        envelopes = tuple(as_bytes(item, most=MAX_ENVELOPE) for item in as_list(reports, most=2 * MAX_PEERS))
        return cls(as_int(index, 0, count - 1), count, envelopes)


@dataclass(frozen=True)
class Leave:
    """Broadcast: the author is gone from this step on, by its own word."""

    reason: LeaveReason

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.reason.value])

    @classmethod
    def decode(cls, body: bytes) -> Leave:
        """Read bytes from the network; raises Malformed."""
        (reason,) = as_fields(decode(body, limit=64), 1)
        try:
            return cls(LeaveReason(as_text(reason, most=32)))
        except ValueError as error:
            raise Malformed(str(error)) from None


@dataclass(frozen=True)
class Certificate:
    """The signed digests of all members of the attempt that finished a step: proof of it to anyone who knows them."""

    digests: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(list(self.digests))

    @classmethod
    def decode(cls, body: bytes) -> Certificate:
        """Read bytes from the network; raises Malformed."""
        items = as_list(decode(body, limit=MAX_ENVELOPE), most=MAX_PEERS)
        return cls(tuple(as_bytes(item, most=1024) for item in items))
