"""The bodies of a step's messages: what each says, and its canonical bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from btard.hashing import DIGEST_SIZE
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.codec import Reader, ascending, encode
from btard.identity.envelope import MAX_ENVELOPE
from btard.round.messages.opening import Opening
from btard.round.messages.reading import digest_or_nothing, digests_of, read_once
from btard.round.roster import read_peers
from btard.vocabulary import MAX_PEERS

MAX_CANDIDATES = 64
MAX_PART = 1 << 31
"""Bytes; the longest part that a header may announce."""


class Phase(IntEnum):
    """Where an attempt stands."""

    COMMIT = 1
    SCATTER = 2
    GATHER = 3
    REVEAL = 4
    MEASURE = 5
    CHECK = 6
    AGREE = 7


@dataclass(frozen=True)
class Commit:
    """Broadcast: the hashes of all parts, before any part leaves (paper: h_i^j), and of a share of randomness.

    Attributes:
        attempt_id: digest of the attempt's membership.
        parameters: digest of the training state x^t.
        decided: digest of the bans and redraws that follow from the step's failed attempts.
        parts: one digest a part, in the order of the owners; none from a validator, which sends no gradient.
        share: commitment to the share of r^t.
        momentum: digest of the momentum that the vector was built on, or nothing where the run uses none.
        candidates: newcomers that the author would admit, ascending.
        clients: those of them that it would admit as clients, ascending.
        laggards: members that the author would leave out, since it has waited too long for them lately; ascending.
        seal: of a validator, a salted digest of its recomputation; else nothing.
        opening: of one that was a validator in the step before, what it has sealed then.
    """

    attempt_id: bytes
    parameters: bytes
    decided: bytes
    parts: tuple[bytes, ...]
    share: bytes
    momentum: bytes
    candidates: tuple[PeerId, ...]
    laggards: tuple[PeerId, ...] = ()
    seal: bytes = b""
    opening: Opening | None = None
    clients: tuple[PeerId, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes. Clients are a number in which each candidate has one bit."""
        clients = sum(1 << place for place, peer in enumerate(self.candidates) if peer in self.clients)
        named = [self.attempt_id, self.parameters, self.decided, list(self.parts), self.share, self.momentum]
        peers = [[bytes(peer) for peer in peers] for peers in (self.candidates, self.laggards)]
        return encode([*named, *peers, self.seal, None if self.opening is None else self.opening.pack(), clients])

    @classmethod
    def decode(cls, body: bytes) -> Commit:
        """Read bytes from the network; raises Malformed."""
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> Commit:
        fields = Reader(body, limit=MAX_ENVELOPE)
        fields.fields(11)
        commit = cls(
            fields.blob(DIGEST_SIZE),
            fields.blob(DIGEST_SIZE),
            fields.blob(DIGEST_SIZE),
            tuple(fields.blobs(DIGEST_SIZE, most=MAX_PEERS)),
            fields.blob(DIGEST_SIZE),
            digest_or_nothing(fields),
            read_peers(fields, most=MAX_CANDIDATES),
            read_peers(fields, most=MAX_CANDIDATES),
            digest_or_nothing(fields),
            Opening.read(fields),
        )
        clients = fields.number(0, (1 << len(commit.candidates)) - 1)
        fields.end()
        named = tuple(peer for place, peer in enumerate(commit.candidates) if clients >> place & 1)
        return replace(commit, clients=named) if named else commit


@dataclass(frozen=True)
class Candidates:
    """Peers that a member would admit.

    Attributes:
        peers: ascending.
        clients: those of them that come as clients, ascending.
    """

    peers: tuple[PeerId, ...] = ()
    clients: tuple[PeerId, ...] = ()


NOBODY = Candidates()


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
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> PartHeader:
        fields = Reader(body, limit=256)
        fields.fields(2)
        header = cls(fields.number(0, MAX_PEERS - 1), fields.blob(DIGEST_SIZE))
        fields.end()
        return header


@dataclass(frozen=True)
class Aggregate:
    """Ahead of an aggregated part on its way to everyone: the commitment to it (paper: hhat^j).

    Attributes:
        digest: of the aggregate's bytes, the same for every receiver.
    """

    digest: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.digest])

    @classmethod
    def decode(cls, body: bytes) -> Aggregate:
        """Read bytes from the network; raises Malformed."""
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> Aggregate:
        return cls(*digests_of(body, 1))


@dataclass(frozen=True)
class Reveal:
    """Broadcast: the share of r^t and the salt behind the commitment, once all aggregates are committed to."""

    share: bytes
    salt: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.share, self.salt])

    @classmethod
    def decode(cls, body: bytes) -> Reveal:
        """Read bytes from the network; raises Malformed."""
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> Reveal:
        return cls(*digests_of(body, 2))


@dataclass(frozen=True)
class Scalars:
    """Broadcast: how the author's vector lies around the aggregate (paper, verification: s_i^j and norm_i^j).

    Attributes:
        attempt_id: digest of the attempt's membership.
        products: one a part, <z[j], (g_i[j] - ghat[j]) min(1, tau / norm)>.
        norms: one a part, ||g_i[j] - ghat[j]||.
        doubts: parts whose aggregate lies too far away, ascending: votes to check the averaging (verification 3).
    """

    attempt_id: bytes
    products: tuple[float, ...]
    norms: tuple[float, ...]
    doubts: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.attempt_id, list(self.products), list(self.norms), list(self.doubts)])

    @classmethod
    def decode(cls, body: bytes) -> Scalars:
        """Read bytes from the network; raises Malformed. Numbers may be anything, NaN included."""
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> Scalars:
        fields = Reader(body, limit=MAX_ENVELOPE)
        fields.fields(4)
        scalars = cls(
            fields.blob(DIGEST_SIZE),
            fields.floats(most=MAX_PEERS),
            fields.floats(most=MAX_PEERS),
            tuple(fields.number(0, MAX_PEERS - 1) for _ in range(fields.items(most=MAX_PEERS))),
        )
        fields.end()
        if not ascending(scalars.doubts):
            raise Malformed("doubted parts are not ascending")
        return scalars


@dataclass(frozen=True)
class Digest:
    """Broadcast: the author holds every message of the attempt, and nothing in them is wrong.

    Attributes:
        attempt_id: digest of the attempt's membership.
        transcript: digest over all commits, aggregates, reveals and scalars in roster order.
        parameters: digest of x^t, the state before this step: a certificate proves it to newcomers.
        following: digest of the next roster.
    """

    attempt_id: bytes
    transcript: bytes
    parameters: bytes
    following: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.attempt_id, self.transcript, self.parameters, self.following])

    @classmethod
    def decode(cls, body: bytes) -> Digest:
        """Read bytes from the network; raises Malformed."""
        return read_once(cls._read, body)

    @classmethod
    def _read(cls, body: bytes) -> Digest:
        return cls(*digests_of(body, 4))


BROADCAST_FORMS: dict[MessageKind, type[Commit | Reveal | Scalars | Digest]] = {
    MessageKind.COMMIT: Commit,
    MessageKind.REVEAL: Reveal,
    MessageKind.SCALARS: Scalars,
    MessageKind.DIGEST: Digest,
}
"""How the bodies of broadcasts are read."""

BROADCASTS = tuple(BROADCAST_FORMS)
"""What every member sends to all in an attempt, beside the header of its aggregate."""


SIGNED_ONCE = frozenset(
    {
        MessageKind.COMMIT,
        MessageKind.PART,
        MessageKind.AGGREGATE,
        MessageKind.REVEAL,
        MessageKind.SCALARS,
        MessageKind.DIGEST,
        MessageKind.REPORT,
        MessageKind.VOTE,
    }
)
"""Of these an honest peer signs exactly one in an attempt, of PART one for each part, however often and to how many it
sends it. Of every other kind it may sign any number."""


def contradict(first: Envelope, second: Envelope) -> bool:
    """Whether an honest peer cannot have signed both: two statements where it makes one; raises Malformed.

    Nothing else is equivocation: peers, books of bans and `btard verdict` all ask here.
    """
    if first.kind not in SIGNED_ONCE or first.content_digest() == second.content_digest():
        return False
    return _statement(first) == _statement(second)


def _statement(envelope: Envelope) -> tuple[bytes, int, int, MessageKind, PeerId, int]:
    part = envelope.read(PartHeader).part if envelope.kind is MessageKind.PART else 0
    return envelope.run, envelope.step, envelope.attempt, envelope.kind, envelope.author, part


class LeaveReason(StrEnum):
    """Why a peer leaves the roster by its own signed word."""

    SHUTDOWN = "shutdown"
    LOTTERY = "lottery"


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
        fields = Reader(body, limit=64)
        fields.fields(1)
        reason = fields.text(most=31)
        fields.end()
        try:
            return cls(LeaveReason(reason))
        except ValueError as error:
            raise Malformed(str(error)) from None
