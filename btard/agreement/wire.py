"""Packages as bytes: members are named by their place among all, so that an echo costs 35 bytes a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Farewell,
    Package,
    Spoken,
    Statement,
    VectorCertificate,
    VectorVote,
)
from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.peer_id import SIGNATURE_SIZE

T = TypeVar("T")

MOST_OF_FAREWELL = 512
"""Bytes."""


def pack(package: Package, members: Sequence[PeerId]) -> bytes:
    """Return the canonical bytes of a package about these members, ascending."""
    place: dict[PeerId | None, int] = {peer: number for number, peer in enumerate(members)}
    place[None] = len(members)

    def items(of: Sequence[Spoken]) -> list[object]:
        return [[place[item.author] for item in of], [item.digest for item in of]]

    def votes(of: Sequence[VectorVote]) -> list[object]:
        return [[place[vote.voter], vote.vector, vote.signature] for vote in of]

    def certified(of: VectorCertificate) -> list[object]:
        farewells = [[place[one.voter], one.body] for one in of.farewells]
        return [[digest for _, digest in of.vector], votes(of.votes), *([farewells] if farewells else [])]

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

    def vote() -> VectorVote:
        fields.fields(3)
        return VectorVote(peer(), fields.blob(DIGEST_SIZE), fields.blob(SIGNATURE_SIZE))

    def endorsement() -> Endorsement:
        fields.fields(3)
        return Endorsement(peer(), items(), fields.blob(SIGNATURE_SIZE))

    def farewell() -> Farewell:
        fields.fields(2)
        return Farewell(peer(), fields.blob(most=MOST_OF_FAREWELL))

    def entry() -> bytes:
        digest = fields.blob(most=DIGEST_SIZE)
        if len(digest) != DIGEST_SIZE and digest not in (NOTHING, TWO_THINGS):
            raise Malformed("expected a digest, or that there is none")
        return digest

    def certificate() -> VectorCertificate:
        parts = fields.items(most=3)
        if parts < 2:
            raise Malformed("a certificate has a vector and votes")
        vector = several(entry, count)
        if len(vector) != count:
            raise Malformed("a vector says something of every member")
        votes = several(vote, count)
        farewells = several(farewell, count) if parts == 3 else ()
        if parts == 3 and not farewells:
            raise Malformed("no farewells are not written")
        return VectorCertificate(tuple(zip(members, vector, strict=True)), votes, farewells)

    def several(read: Callable[[], T], most: int) -> tuple[T, ...]:
        return tuple(read() for _ in range(fields.items(most=most)))

    fields.fields(5)
    package = Package(
        several(statement, 2 * count),
        None if fields.none() else certificate(),
        several(endorsement, count * (count + 2)),
        several(vote, count),
        items(),
    )
    fields.end()
    return package
