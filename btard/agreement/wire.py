"""Packages as bytes: members are named by their place among all, so that an echo costs 35 bytes a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Package,
    Spoken,
    Statement,
    VectorCertificate,
    VectorVote,
    VoteRound,
    vector_digest,
)
from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.peer_id import SIGNATURE_SIZE

T = TypeVar("T")

_SHORT = 16 << 10
"""Bytes; packages up to this size are remembered for a while."""

_MOST_VECTORS = 3
"""That one message holds votes for: a voter's own votes in both rounds, and those of most voters for one vector."""


def pack(package: Package, members: Sequence[PeerId]) -> bytes:
    """Return the canonical bytes of a package about these members, ascending."""
    place: dict[PeerId | None, int] = {peer: number for number, peer in enumerate(members)}
    place[None] = len(members)

    def items(of: Sequence[Spoken]) -> list[object]:
        return [[place[item.author] for item in of], [item.digest for item in of]]

    def votes(of: Sequence[VectorVote]) -> list[object]:
        groups: dict[tuple[VoteRound, bytes], list[VectorVote]] = {}
        for vote in of:
            groups.setdefault((vote.round, vote.vector), []).append(vote)
        return [[int(round_), vector, *signed(group)] for (round_, vector), group in groups.items()]

    def certified(of: VectorCertificate) -> list[object]:
        return [[digest for _, digest in of.vector], int(of.votes[0].round), *signed(of.votes)]

    def signed(of: Sequence[VectorVote]) -> list[object]:
        return [[place[vote.voter] for vote in of], [vote.signature for vote in of]]

    return encode(
        [
            [[place[one.author], one.digest, one.body] for one in package.statements],
            None if package.certificate is None else certified(package.certificate),
            [[place[one.voter], items(one.items), one.signature] for one in package.endorsements],
            votes(package.votes),
            items(package.wanted),
        ]
    )


def unpack(data: bytes, members: Sequence[PeerId], *, limit: int) -> Package:
    """Read bytes from the network; raises Malformed. Nothing is said about signatures, nor about bodies."""
    return (_unpack_once if len(data) <= _SHORT else _unpack)(data, tuple(members), limit)


def _unpack(data: bytes, members: tuple[PeerId, ...], limit: int) -> Package:
    return _Unpacking(Reader(data, limit=limit), members, limit).package()


# The members of a simulation share what they are all told. What is malformed is not remembered.
_unpack_once = lru_cache(maxsize=64)(_unpack)


@dataclass(frozen=True, slots=True)
class _Unpacking:
    """Reads the parts of one package, in the order in which they stand there."""

    fields: Reader
    members: Sequence[PeerId]
    limit: int

    def package(self) -> Package:
        count = len(self.members)
        self.fields.fields(5)
        package = Package(
            self._several(self._statement, 2 * count),
            None if self.fields.none() else self._certificate(),
            self._several(self._endorsement, count * (count + 2)),
            self._votes(),
            self._items(),
        )
        self.fields.end()
        return package

    def _several(self, read: Callable[[], T], most: int) -> tuple[T, ...]:
        return tuple(read() for _ in range(self.fields.items(most=most)))

    def _place(self) -> int:
        return self.fields.number(0, len(self.members) - 1)

    def _peer(self) -> PeerId:
        return self.members[self._place()]

    def _round(self) -> VoteRound:
        return VoteRound(self.fields.number(0, VoteRound.SECOND))

    def _statement(self) -> Statement:
        self.fields.fields(3)
        return Statement(self._peer(), self.fields.blob(DIGEST_SIZE), self.fields.blob(most=self.limit))

    def _items(self) -> tuple[Spoken, ...]:
        count = len(self.members)
        self.fields.fields(2)
        places = [self.fields.number(0, count) for _ in range(self.fields.items(most=2 * count + 1))]
        digests = self.fields.blobs(DIGEST_SIZE, most=len(places))
        if len(digests) != len(places):
            raise Malformed("expected a digest for each item")
        authors = (self.members[place] if place < count else None for place in places)
        return tuple(map(Spoken, authors, digests))

    def _endorsement(self) -> Endorsement:
        self.fields.fields(3)
        return Endorsement(self._peer(), self._items(), self.fields.blob(SIGNATURE_SIZE))

    def _signed(self, round_: VoteRound, vector: bytes) -> tuple[VectorVote, ...]:
        places = self._several(self._place, len(self.members))
        signatures = self.fields.blobs(SIGNATURE_SIZE, most=len(places))
        if not places or len(signatures) != len(places):
            raise Malformed("expected a signature for each vote, and a vote at least")
        return tuple(VectorVote(self.members[p], round_, vector, s) for p, s in zip(places, signatures, strict=True))

    def _votes(self) -> tuple[VectorVote, ...]:
        found: dict[tuple[VoteRound, bytes], tuple[VectorVote, ...]] = {}
        for _ in range(self.fields.items(most=_MOST_VECTORS)):
            self.fields.fields(4)
            group = self._round(), self.fields.blob(DIGEST_SIZE)
            if group in found:
                raise Malformed("votes for one vector stand together")
            found[group] = self._signed(*group)
        return tuple(vote for group in found.values() for vote in group)

    def _entry(self) -> bytes:
        digest = self.fields.blob(most=DIGEST_SIZE)
        if len(digest) != DIGEST_SIZE and digest not in (NOTHING, TWO_THINGS):
            raise Malformed("expected a digest, or that there is none")
        return digest

    def _certificate(self) -> VectorCertificate:
        self.fields.fields(4)
        vector = self._several(self._entry, len(self.members))
        if len(vector) != len(self.members):
            raise Malformed("a vector says something of every member")
        named = tuple(zip(self.members, vector, strict=True))
        return VectorCertificate(named, self._signed(self._round(), vector_digest(dict(named))))
