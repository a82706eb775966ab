"""Packages as bytes: members are named by their place among all, so that an echo costs 35 bytes a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    fields, count = Reader(data, limit=limit), len(members)

    def peer() -> PeerId:
        return members[fields.number(0, count - 1)]

    def items() -> tuple[Spoken, ...]:
        fields.fields(2)
        places = [fields.number(0, count) for _ in range(fields.items(most=2 * count + 1))]
        digests = fields.blobs(DIGEST_SIZE, most=len(places))
        if len(digests) != len(places):
            raise Malformed("expected a digest for each item")
        authors = (members[place] if place < count else None for place in places)
        return tuple(map(Spoken, authors, digests))

    def statement() -> Statement:
        fields.fields(3)
        return Statement(peer(), fields.blob(DIGEST_SIZE), fields.blob(most=limit))

    def round_() -> VoteRound:
        return VoteRound(fields.number(0, VoteRound.SECOND))

    def signed(round_: VoteRound, vector: bytes) -> tuple[VectorVote, ...]:
        places = [fields.number(0, count - 1) for _ in range(fields.items(most=count))]
        signatures = fields.blobs(SIGNATURE_SIZE, most=len(places))
        if not places or len(signatures) != len(places):
            raise Malformed("expected a signature for each vote, and a vote at least")
        return tuple(VectorVote(members[p], round_, vector, s) for p, s in zip(places, signatures, strict=True))

    def votes() -> tuple[VectorVote, ...]:
        found: dict[tuple[VoteRound, bytes], tuple[VectorVote, ...]] = {}
        for _ in range(fields.items(most=_MOST_VECTORS)):
            fields.fields(4)
            group = round_(), fields.blob(DIGEST_SIZE)
            if group in found:
                raise Malformed("votes for one vector stand together")
            found[group] = signed(*group)
        return tuple(vote for group in found.values() for vote in group)

    def endorsement() -> Endorsement:
        fields.fields(3)
        return Endorsement(peer(), items(), fields.blob(SIGNATURE_SIZE))

    def entry() -> bytes:
        digest = fields.blob(most=DIGEST_SIZE)
        if len(digest) != DIGEST_SIZE and digest not in (NOTHING, TWO_THINGS):
            raise Malformed("expected a digest, or that there is none")
        return digest

    def certificate() -> VectorCertificate:
        fields.fields(4)
        vector = several(entry, count)
        if len(vector) != count:
            raise Malformed("a vector says something of every member")
        named = tuple(zip(members, vector, strict=True))
        return VectorCertificate(named, signed(round_(), vector_digest(dict(named))))

    def several(read: Callable[[], T], most: int) -> tuple[T, ...]:
        return tuple(read() for _ in range(fields.items(most=most)))

    fields.fields(5)
    package = Package(
        several(statement, 2 * count),
        None if fields.none() else certificate(),
        several(endorsement, count * (count + 2)),
        votes(),
        items(),
    )
    fields.end()
    return package
