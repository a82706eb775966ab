"""What peers say when an attempt has failed: complaints, accusations, votes, and how they agree on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed, PeerId
from btard.identity.codec import Reader, ascending, encode
from btard.identity.envelope import MAX_ENVELOPE, MIN_ENVELOPE, SIGNATURE_SIZE
from btard.round.messages.bodies import Phase
from btard.round.roster import read_peer, read_peers
from btard.vocabulary import MAX_PEERS

MAX_ATTACHED = 12 * MAX_PEERS
"""The most messages that a report carries."""

TOLD_SIZE = 64
"""Bytes of what one member has told, in a list of all: 16 of the digest of each of four messages."""


MOST_SIGNS_OF_LIFE = 128
"""Times that a member says that it is at work while a commitment may take, at most."""

MAX_OVERDUE = 8
"""Members for which one report proves that most have waited too long: of more, all reports say so by their `late`."""


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
    NO_REVEAL = 9
    NO_SCALARS = 10
    NO_EXHIBIT = 11
    OTHER_VIEW = 12


class ChargeKind(IntEnum):
    """What a peer accuses another of. GRADIENT and WITHHELD are about the step before, all others about the attempt.

    FALSE_SCALARS: a scalar or norm that is not that of the row sent (verification 1, and the witness of an own part).
    NOT_FINITE: a row with NaN or infinity.
    TOO_LONG: a part longer than the rules of BTARD-Clipped-SGD allow.
    WRONG_SUM: a part whose published products do not add up to zero, and whose owner accuses nobody (verification 2).
    WRONG_AGGREGATE: a part whose aggregate is not the fixed point of the rows (verification 3, after re-collection).
    WITHHELD: the target does not show the momentum that its vector of the step before was built on.
    GRADIENT: a vector that is not the gradient of its seed, in the step before, or false scalars about it.
    FALSE_OPENING: a validator of the step before that opens, in this attempt, what its target's vector does not give.
    NO_OPENING: one that opens nothing, or has sealed nothing.
    """

    FALSE_SCALARS = 1
    NOT_FINITE = 2
    TOO_LONG = 3
    WRONG_SUM = 4
    WRONG_AGGREGATE = 5
    GRADIENT = 6
    WITHHELD = 7
    FALSE_OPENING = 8
    NO_OPENING = 9

    @property
    def about_last_step(self) -> bool:
        """Whether it is about the step before, whatever is said in this one."""
        return self in (ChargeKind.GRADIENT, ChargeKind.WITHHELD)

    @property
    def about_opening(self) -> bool:
        """Whether it is about what a validator of the step before owes its target, whose charge it is."""
        return self in (ChargeKind.FALSE_OPENING, ChargeKind.NO_OPENING)

    @property
    def recomputes(self) -> bool:
        """Whether a judge has to recompute a vector."""
        return self.about_last_step or self is ChargeKind.FALSE_OPENING

    @property
    def needs_exhibit(self) -> bool:
        """Whether it is about a row that the accuser holds and must show."""
        return self in (ChargeKind.FALSE_SCALARS, ChargeKind.NOT_FINITE, ChargeKind.TOO_LONG)


class Opinion(IntEnum):
    """What a member of the court finds."""

    UNSURE = 0
    GUILTY = 1
    INNOCENT = 2


@dataclass(frozen=True, order=True)
class Charge:
    """An accusation.

    Attributes:
        kind: of what.
        accused: the peer.
        part: the part in question; 0 where it is about a whole vector.
    """

    kind: ChargeKind
    accused: PeerId
    part: int

    def pack(self) -> list[object]:
        """Return the fields for the codec."""
        return [int(self.kind), bytes(self.accused), self.part]

    @classmethod
    def read(cls, fields: Reader) -> Charge:
        """Read `pack`'s fields; raises Malformed."""
        fields.fields(3)
        return cls(_enum(ChargeKind, fields), read_peer(fields), fields.number(0, MAX_PEERS - 1))


@dataclass(frozen=True)
class Overdue:
    """Broadcast: the author has waited for a member for so long in this attempt that it would go on without it; or, of
    the author itself, that others have to wait for it: before it has committed, as it loads the state or computes its
    first vector; later, as it hears somebody before it accuses."""

    attempt_id: bytes
    peer: PeerId

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.attempt_id, bytes(self.peer)])

    @classmethod
    def decode(cls, body: bytes) -> Overdue:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=256)
        fields.fields(2)
        overdue = cls(fields.blob(DIGEST_SIZE), read_peer(fields))
        fields.end()
        return overdue


@dataclass(frozen=True)
class Waiters:
    """The voters that have waited too long for a member, by signatures of `Overdue` messages, without what all share.

    Attributes:
        peer: the member.
        signatures: of 64 bytes, each behind the place of its author among the attempt's members; places ascend.
    """

    peer: PeerId
    signatures: tuple[tuple[int, bytes], ...]

    def pack(self) -> list[object]:
        """Return the fields for the codec."""
        return [bytes(self.peer), [[place, signature] for place, signature in self.signatures]]

    @classmethod
    def read(cls, fields: Reader) -> Waiters:
        """Read `pack`'s fields; raises Malformed."""
        fields.fields(2)
        peer = read_peer(fields)
        waiters = cls(peer, tuple(_signature(fields) for _ in range(fields.items(most=MAX_PEERS))))
        if not ascending([place for place, _ in waiters.signatures]):
            raise Malformed("signatures are not ascending by author")
        return waiters


def _signature(fields: Reader) -> tuple[int, bytes]:
    fields.fields(2)
    return fields.number(0, MAX_PEERS - 1), fields.blob(SIGNATURE_SIZE)


@dataclass(frozen=True)
class Report:
    """Broadcast by a peer that cannot finish the attempt: what it misses, its accusation, and messages that convict.

    Attributes:
        phase: where the author stands.
        reaction: the author is held up only by peers whose reports came first.
        members: the attempt's members as the author sees them.
        complaints: (peer, fault), ascending.
        charge: the author's accusation, at most one at a time.
        attached: encoded envelopes of others.
        late: peers of which something came too late, or never, that the author wanted or was asked for; ascending. Such
            testimony costs its author nothing, and decides the complaints of others.
        state: digest of the training state and of what the author takes for decided; nothing if it does not say.
        told: what the author was told by whom, as digests (`failure/stories.py`); nothing unless that may matter.
        overdue: members for which most voters have waited too long, ascending; at most MAX_OVERDUE.
    """

    phase: Phase
    reaction: bool
    members: tuple[PeerId, ...]
    complaints: tuple[tuple[PeerId, Fault], ...]
    charge: Charge | None
    attached: tuple[bytes, ...]
    late: tuple[PeerId, ...] = ()
    state: bytes = b""
    told: bytes = b""
    overdue: tuple[Waiters, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(
            [
                int(self.phase),
                int(self.reaction),
                [bytes(m) for m in self.members],
                [[bytes(peer), int(fault)] for peer, fault in self.complaints],
                None if self.charge is None else self.charge.pack(),
                list(self.attached),
                [bytes(peer) for peer in self.late],
                self.state,
                self.told,
                [waiters.pack() for waiters in self.overdue],
            ]
        )

    @classmethod
    def decode(cls, body: bytes) -> Report:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=MAX_ENVELOPE)
        fields.fields(10)
        report = cls(
            _enum(Phase, fields),
            bool(fields.number(0, 1)),
            read_peers(fields),
            tuple(_complaint(fields) for _ in range(fields.items(most=MAX_PEERS))),
            None if fields.none() else Charge.read(fields),
            tuple(fields.blob(least=MIN_ENVELOPE, most=MAX_ENVELOPE) for _ in range(fields.items(most=MAX_ATTACHED))),
            read_peers(fields),
            fields.blob(most=DIGEST_SIZE),
            fields.blob(most=MAX_PEERS * TOLD_SIZE),
            tuple(Waiters.read(fields) for _ in range(fields.items(most=MAX_OVERDUE))),
        )
        fields.end()
        if report.state and len(report.state) != DIGEST_SIZE:
            raise Malformed("expected a digest or nothing")
        if report.told and len(report.told) != TOLD_SIZE * len(report.members):
            raise Malformed("a list of what its author was told has a place for each member")
        if not ascending([peer for peer, _ in report.complaints]):
            raise Malformed("complaints are not ascending by peer")
        if not ascending([waiters.peer for waiters in report.overdue]):
            raise Malformed("members that are overdue are not ascending")
        return report


def _complaint(fields: Reader) -> tuple[PeerId, Fault]:
    fields.fields(2)
    return read_peer(fields), _enum(Fault, fields)


E = TypeVar("E", bound=IntEnum)


def _enum(kind: type[E], fields: Reader) -> E:
    try:
        return kind(fields.number(0, 255))
    except ValueError as error:
        raise Malformed(str(error)) from None


@dataclass(frozen=True)
class Ballot:
    """What one member of the court finds about one charge.

    Attributes:
        accuser: whose charge it is.
        charge: the accusation.
        opinion: on the accused.
        accomplices: owners that covered up for the accused, ascending: they held the row, and accepted false scalars.
    """

    accuser: PeerId
    charge: Charge
    opinion: Opinion
    accomplices: tuple[PeerId, ...]


@dataclass(frozen=True)
class Vote:
    """Broadcast: the author's ballots on all charges of a failed attempt, ascending by accuser.

    Attributes:
        attempt_id: digest of the attempt's membership.
        ballots: one a charge.
        attached: encoded envelopes that contradict each other, or what an accuser says that it was told.
        alike: accusers that were told what the author was told, as far as both were told anything; ascending.
    """

    attempt_id: bytes
    ballots: tuple[Ballot, ...]
    attached: tuple[bytes, ...] = ()
    alike: tuple[PeerId, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        rows = [
            [bytes(b.accuser), b.charge.pack(), int(b.opinion), [bytes(a) for a in b.accomplices]] for b in self.ballots
        ]
        return encode([self.attempt_id, rows, list(self.attached), [bytes(peer) for peer in self.alike]])

    @classmethod
    def decode(cls, body: bytes) -> Vote:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=MAX_ENVELOPE)
        fields.fields(4)
        vote = cls(
            fields.blob(DIGEST_SIZE),
            tuple(_ballot(fields) for _ in range(fields.items(most=MAX_PEERS))),
            tuple(fields.blob(least=MIN_ENVELOPE, most=MAX_ENVELOPE) for _ in range(fields.items(most=2 * MAX_PEERS))),
            read_peers(fields),
        )
        fields.end()
        if not ascending([ballot.accuser for ballot in vote.ballots]):
            raise Malformed("ballots are not ascending by accuser")
        return vote


def _ballot(fields: Reader) -> Ballot:
    fields.fields(4)
    return Ballot(read_peer(fields), Charge.read(fields), _enum(Opinion, fields), read_peers(fields))


@dataclass(frozen=True)
class Relay:
    """What one member tells another in an agreement about a failed attempt.

    Attributes:
        votes: whether the agreement is about votes rather than reports.
        package: bytes of the agreement's own (`agreement/wire.py`), whose members are those of the attempt.
    """

    votes: bool
    package: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([int(self.votes), self.package])

    @classmethod
    def decode(cls, body: bytes) -> Relay:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=MAX_ENVELOPE)
        fields.fields(2)
        relay = cls(bool(fields.number(0, 1)), fields.blob(most=MAX_ENVELOPE))
        fields.end()
        return relay
