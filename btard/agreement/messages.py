"""What is signed, and what travels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from btard.hashing import tagged_digest
from btard.identity import PeerId


@dataclass(frozen=True)
class Signatures:
    """How one member signs, and looks at signatures.

    Attributes:
        sign: makes a signature of 32 bytes that say what is signed.
        verify: whether a signature (last) of these 32 bytes is that peer's.
        read: the 32-byte digest of what a statement's body says, if that member has signed it for this agreement.
    """

    sign: Callable[[bytes], bytes]
    verify: Callable[[PeerId, bytes, bytes], bool]
    read: Callable[[PeerId, bytes], bytes | None]


class Spoken(NamedTuple):
    """What voters endorse: that a member has said something. A tuple, as nothing else is looked up so often.

    Attributes:
        author: the member; None for a certificate.
        digest: of its statement, or of the certified vector; 32 bytes.
    """

    author: PeerId | None
    digest: bytes


@dataclass(frozen=True)
class Statement:
    """A member says one thing: a message that it has signed, and the digest of what that says."""

    author: PeerId
    digest: bytes
    body: bytes

    @property
    def item(self) -> Spoken:
        """What voters endorse about it."""
        return Spoken(self.author, self.digest)


@dataclass(frozen=True)
class Endorsement:
    """A voter has accepted these items, within their time."""

    voter: PeerId
    items: tuple[Spoken, ...]
    signature: bytes


class VoteRound(IntEnum):
    """FIRST: the voter holds the vector. SECOND: it knows that no other vector can have a majority of second votes."""

    FIRST = 0
    SECOND = 1


@dataclass(frozen=True)
class VectorVote:
    """A voter's vote for a vector, of which it gives the `vector_digest`: one in each round."""

    voter: PeerId
    round: VoteRound
    vector: bytes
    signature: bytes


NOTHING = b""
"""In a vector: the member has said nothing."""
TWO_THINGS = b"two"
"""In a vector: the member has signed two statements, of which none counts; which two may differ from peer to peer."""
Vector = Mapping[PeerId, bytes]
"""Of each member the digest of its statement, NOTHING, or TWO_THINGS."""


def vector_of(members: Iterable[PeerId], items: Iterable[Spoken]) -> Vector:
    """Return what these items say of each member."""
    vector = dict.fromkeys(members, NOTHING)
    for item in items:
        if item.author in vector:
            vector[item.author] = item.digest if vector[item.author] == NOTHING else TWO_THINGS
    return vector


@dataclass(frozen=True)
class VectorCertificate:
    """Votes of one round for one vector, as many as `Terms.certifies` wants: no other vector can have a certificate."""

    vector: tuple[tuple[PeerId, bytes], ...]
    votes: tuple[VectorVote, ...]

    @cached_property
    def item(self) -> Spoken:
        """What voters endorse about it."""
        return Spoken(None, vector_digest(dict(self.vector)))


@dataclass(frozen=True)
class Package:
    """What one member tells another: statements, a certificate, endorsements that make them count, votes; and what it
    has heard of and wants."""

    statements: tuple[Statement, ...] = ()
    certificate: VectorCertificate | None = None
    endorsements: tuple[Endorsement, ...] = ()
    votes: tuple[VectorVote, ...] = ()
    wanted: tuple[Spoken, ...] = ()


def vector_digest(vector: Vector) -> bytes:
    """Return the 32 bytes that stand for a vector."""
    fields = [field for author in sorted(vector) for field in (author, vector[author])]
    return tagged_digest("btard vector", *fields)


def endorsement_bytes(topic: bytes, items: tuple[Spoken, ...]) -> bytes:
    """Return what a voter signs to endorse items."""
    fields = [field for item in items for field in (item.author or b"", item.digest)]
    return tagged_digest("btard endorsement", topic, *fields)


def vote_bytes(topic: bytes, round_: VoteRound, vector: bytes) -> bytes:
    """Return what a voter signs to vote for a vector."""
    return tagged_digest("btard agreement vote", topic, bytes((round_,)), vector)
