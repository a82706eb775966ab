"""What one member has accepted: statements and endorsements, each verified, each within its time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Signatures,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    VectorVote,
    endorsement_bytes,
    vector_digest,
    vector_of,
    vote_bytes,
)
from btard.agreement.terms import Terms
from btard.identity import Malformed, PeerId

_MOST_OF_ONE = 2
"""Of one author's statements two are as good as more: it has said two things."""


class Ledger:
    """Accepts by the rules of `Terms`, and remembers. Times are seconds since the own start.

    A voter that accepts something makes others accept it, by endorsing it. A member without a vote cannot, so it
    accepts only what others will have accepted anyhow.

    Attributes:
        accepted: statements by item, of each author at most two.
        endorsements: what voters have endorsed, each endorsement once, by voter.
        certificate: the one that has been accepted.
        gone: voters that are known to have bidden farewell.
        without: members whose statements are left out of what this member votes for.
    """

    def __init__(self, terms: Terms, signatures: Signatures, *, votes: bool) -> None:
        """Begin with nothing; `votes` tells whether this member has a vote."""
        self._terms, self._has_vote = terms, votes
        self.gone: frozenset[PeerId] = frozenset()
        self._signatures = signatures
        self._endorsers: dict[Spoken, dict[PeerId, None]] = {}
        self._by_voter: dict[PeerId, dict[Spoken, None]] = {}
        self._held: dict[PeerId, bytes] = {}
        self._own: bytes | None = None
        self._of_author: Counter[PeerId] = Counter()
        self._said: Counter[tuple[PeerId, PeerId | None]] = Counter()
        self._spare: dict[Spoken, Statement] = {}
        self.accepted: dict[Spoken, Statement] = {}
        self.endorsements: dict[PeerId, list[Endorsement]] = {}
        self.certificate: VectorCertificate | None = None
        self.without: frozenset[PeerId] = frozenset()

    def offer(self, at: float, statement: Statement, along: Iterable[Endorsement] = (), *, own: bool = False) -> bool:
        """Take a statement in, if it has the endorsements that it needs by now; returns whether it is new.

        One that is not accepted, but endorsed, is kept: a certificate may name it.

        Args:
            along: endorsements that have come with it, and that `endorse` has found to be too many.
            own: whether it is of this member's own making, and need not be looked at.

        Raises:
            Malformed: its author has not signed it.
        """
        item, author, terms = statement.item, statement.author, self._terms
        if item in self.accepted or author not in terms.speakers:
            return False
        support = self._support(item, along)
        in_time = at <= terms.statement_until(len(support)) if self._has_vote else terms.vouches(support, self.gone)
        accept = in_time and self._of_author[author] < _MOST_OF_ONE
        early = not self._has_vote and sum(kept.author == author for kept in self._spare) < _MOST_OF_ONE
        if not (accept or early or item in self._endorsers):
            return False
        known = own or item in self._spare
        if not known and self._signatures.read(author, statement.body) != statement.digest:
            raise Malformed("a statement that its author has not signed")
        if not accept:
            self._spare.setdefault(item, statement)
            return False
        self._accept(statement)
        self._note(item, along)
        return True

    def certify(
        self, at: float, certificate: VectorCertificate, along: Iterable[Endorsement] = (), *, own: bool = False
    ) -> bool:
        """Take a certificate in, if it has the endorsements that it needs by now; returns whether it is the first.
        Raises Malformed for a false vote in one that is not of this member's `own` making."""
        terms, item = self._terms, certificate.item
        if self.certificate is not None:
            return False
        if at > self._until(self._support(item, along)):
            return False
        rounds = {vote.round for vote in certificate.votes}
        if len(rounds) != 1 or not terms.certifies(rounds.pop(), {vote.voter for vote in certificate.votes}):
            return False
        if not own:
            self._verify_votes(certificate)
        self._note(item, along)
        self.certificate = certificate
        return True

    def _verify_votes(self, certificate: VectorCertificate) -> None:
        for vote in certificate.votes:
            if vote.vector != certificate.item.digest or not self.has_signed(vote):
                raise Malformed("a certificate with a false vote")

    def has_signed(self, vote: VectorVote) -> bool:
        """Whether a vote's author has signed it for this agreement."""
        signed = vote_bytes(self._terms.topic, vote.round, vote.vector)
        return self._signatures.verify(vote.voter, signed, vote.signature)

    def endorse(self, endorsement: Endorsement, *, own: bool = False) -> bool:
        """Take an endorsement in, if it is of a voter and says something new; returns whether it is one too many.
        Raises Malformed if its author has not signed it; of the `own` ones that is known.

        One too many counts for what comes along with it only: else a liar that has endorsed much to one member, and
        little to another, would have them count differently.
        """
        voter, terms = endorsement.voter, self._terms
        new = [item for item in endorsement.items if voter not in self._endorsers.get(item, ())]
        if voter not in terms.voters or not new:
            return False
        signed = endorsement_bytes(terms.topic, endorsement.items)
        if not own and not self._signatures.verify(voter, signed, endorsement.signature):
            raise Malformed("an endorsement that its author has not signed")
        if len(self.endorsed_by(voter)) + len(new) > _MOST_OF_ONE * len(terms.members) + 1:
            return True
        self._count(endorsement, new)
        return False

    def _count(self, endorsement: Endorsement, items: Sequence[Spoken]) -> None:
        voter = endorsement.voter
        self.endorsements.setdefault(voter, []).append(endorsement)
        self._held.pop(voter, None)
        for item in items:
            self._by_voter.setdefault(voter, {})[item] = None
            self._endorsers.setdefault(item, {})[voter] = None
            self._said[voter, item.author] += 1
        authors = {item.author for item in items}
        self._reconsider(one for one in self._spare.values() if one.author in authors)

    def part(self, gone: frozenset[PeerId]) -> None:
        """Count these as gone."""
        if gone != self.gone:
            self.gone = gone
            self._reconsider(self._spare.values())

    def _reconsider(self, spare: Iterable[Statement]) -> None:
        """Without a vote, accept of these what enough have endorsed by now."""
        for kept in [] if self._has_vote else list(spare):
            if self._terms.vouches(self._support(kept.item, ()), self.gone):
                self._accept(kept)

    def _support(self, item: Spoken, along: Iterable[Endorsement]) -> set[PeerId]:
        """Return the voters that have endorsed an item, by what comes along with it too.

        For a member without a vote, a voter that has endorsed two other statements of its author is as good.
        """
        voters = {*self._endorsers.get(item, ()), *(one.voter for one in along if item in one.items)}
        if self._has_vote or item.author is None:
            return voters
        return voters | {voter for voter in self._by_voter if self._said[voter, item.author] >= _MOST_OF_ONE}

    def _note(self, item: Spoken, along: Iterable[Endorsement]) -> None:
        for one in along:
            if item in one.items and one.voter not in self._endorsers.get(item, ()):
                self._count(one, [item])

    def _until(self, support: set[PeerId]) -> float:
        """Return until when a certificate that these have endorsed is accepted.

        What one of the honest has endorsed all voters accept. A member without a vote passes a certificate on
        with no endorsement of its own, so it must have any other a window earlier.
        """
        if self._has_vote:
            return self._terms.certificate_until(len(support))
        vouched = self._terms.vouches(support, self.gone)
        return math.inf if vouched else self._terms.certificate_until(len(support) - 1)

    def _accept(self, statement: Statement) -> None:
        if self._of_author[statement.author] == _MOST_OF_ONE:
            return
        self._spare.pop(statement.item, None)
        self.accepted[statement.item] = statement
        self._of_author[statement.author] += 1
        self._own = None

    def endorsed_by(self, voter: PeerId) -> Mapping[Spoken, None]:
        """Return everything that a voter has endorsed."""
        return self._by_voter.get(voter, {})

    def endorsers(self, item: Spoken) -> frozenset[PeerId]:
        """Return the voters that have endorsed an item."""
        return frozenset(self._endorsers.get(item, ()))

    def heard_of(self) -> list[Spoken]:
        """Return what others have endorsed, and this member has not got and may use."""
        held = self.accepted.keys() | self._spare.keys()
        absent = [item for item in self._endorsers if item.author is not None and item not in held]
        return [item for item in absent if item.author and self._of_author[item.author] < _MOST_OF_ONE]

    def lacking(self) -> list[Spoken]:
        """Return the statements of the certified vector that have not come."""
        vector = () if self.certificate is None else self.certificate.vector
        said = [Spoken(author, digest) for author, digest in vector if digest not in (NOTHING, TWO_THINGS)]
        return [item for item in said if item not in self.accepted and item not in self._spare]

    def of(self, author: PeerId) -> tuple[Statement, ...]:
        """Return the statements of one author that have come: two, if it has said two things."""
        held = {**self.accepted, **self._spare}
        return tuple(statement for statement in held.values() if statement.author == author)[:_MOST_OF_ONE]

    @property
    def fulfilled(self) -> bool:
        """Whether there is a certificate, and all has come that it names: of those that have said two things, two."""
        if self.certificate is None or self.lacking():
            return False
        twice = (author for author, digest in self.certificate.vector if digest == TWO_THINGS)
        return all(len(self.of(author)) == _MOST_OF_ONE for author in twice)

    def named(self, vector: Vector) -> dict[PeerId, tuple[Statement, ...]]:
        """Return the statements that a decided vector names, by author: of those that have said two things, two."""
        found = {}
        for author, digest in vector.items():
            item = Spoken(author, digest)
            if digest == TWO_THINGS:
                found[author] = self.of(author)
            elif digest != NOTHING:
                found[author] = (self.accepted.get(item) or self._spare[item],)
        return found

    def reasons(self, items: Iterable[Spoken], most: int, me: PeerId) -> tuple[Endorsement, ...]:
        """Return endorsements of these items: of each item `most`, if there are so many, the own one among them."""
        chosen: dict[Endorsement, None] = {}
        for item in items:
            voters = sorted(self._endorsers.get(item, ()), key=lambda voter: voter != me)
            for voter in voters[:most]:
                chosen[next(e for e in self.endorsements[voter] if item in e.items)] = None
        return tuple(chosen)

    @property
    def statements(self) -> dict[PeerId, Statement]:
        """The statements of those that have said one thing, by author."""
        return {s.author: s for s in self.accepted.values() if self._of_author[s.author] == 1}

    @property
    def complete(self) -> bool:
        """Whether everybody has said something that has to, and is not left out."""
        return self._terms.speakers <= self._of_author.keys() | self.without

    @property
    def vector(self) -> Vector:
        """What has been accepted."""
        return vector_of(self._terms.members, self.accepted)

    @property
    def proposal(self) -> Vector:
        """What this member votes for: what has been accepted, less what is left out."""
        return self._proposed(self.accepted)

    def leave_out(self, authors: frozenset[PeerId]) -> None:
        """Leave the statements of these members out of the proposal."""
        if authors != self.without:
            self.without, self._own = authors, None
            self._held.clear()

    def _proposed(self, items: Iterable[Spoken]) -> Vector:
        return vector_of(self._terms.members, (item for item in items if item.author not in self.without))

    @property
    def own_digest(self) -> bytes:
        """The digest of the proposal."""
        if self._own is None:
            self._own = vector_digest(self.proposal)
        return self._own

    def alike(self) -> frozenset[PeerId]:
        """Return the voters that have endorsed exactly what is in the proposal, whatever they say of the others."""
        for voter in self._terms.voters - self._held.keys():
            held = self.endorsed_by(voter)
            self._held[voter] = vector_digest(self._proposed(held)) if held else NOTHING
        return frozenset(voter for voter, digest in self._held.items() if digest == self.own_digest)
