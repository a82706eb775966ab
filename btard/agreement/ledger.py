"""What one member has accepted: statements and endorsements, each verified, each within its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Signatures,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    endorsement_bytes,
    vector_digest,
    vector_of,
    vote_bytes,
)
from btard.agreement.terms import Terms
from btard.identity import PeerId

_MOST_OF_ONE = 2
"""Of one author's statements two are as good as more: it has said two things."""


class Ledger:
    """Accepts by the rules of `Terms`, and remembers. Times are seconds since the own start.

    Attributes:
        accepted: statements by item, of each author at most two.
        endorsements: what voters have endorsed, each endorsement once, by voter.
        certificate: the one that has been accepted.
    """

    def __init__(self, terms: Terms, signatures: Signatures) -> None:
        self._terms = terms
        self._signatures = signatures
        self._endorsers: dict[Spoken, dict[PeerId, None]] = {}
        self._by_voter: dict[PeerId, dict[Spoken, None]] = {}
        self._held: dict[PeerId, bytes] = {}
        self._own: bytes | None = None
        self._of_author: Counter[PeerId] = Counter()
        self.accepted: dict[Spoken, Statement] = {}
        self.endorsements: dict[PeerId, list[Endorsement]] = {}
        self.certificate: VectorCertificate | None = None

    def offer(self, at: float, statement: Statement) -> bool:
        """Take a statement in, if it has the endorsements that it needs by now; returns whether it is new.

        What comes too late is forgotten: a voter that has accepted it in time gives it again with its endorsements.
        """
        item, terms, author = statement.item, self._terms, statement.author
        if item in self.accepted or author not in terms.members or self._of_author[author] >= _MOST_OF_ONE:
            return False
        if at > terms.statement_until(len(self._endorsers.get(item, ()))):
            return False
        if self._signatures.read(author, statement.body) != statement.digest:
            return False
        self.accepted[item] = statement
        self._of_author[author] += 1
        self._own = None
        return True

    def certify(self, at: float, certificate: VectorCertificate) -> bool:
        """Take a certificate in, if it has the endorsements that it needs by now; returns whether it is the first."""
        terms = self._terms
        item = certificate.item
        if self.certificate is not None or at > terms.certificate_until(len(self._endorsers.get(item, ()))):
            return False
        if len({vote.voter for vote in certificate.votes} & terms.voters) < terms.quorum:
            return False
        signed = vote_bytes(terms.topic, item.digest)
        if not all(
            vote.vector == item.digest and self._signatures.verify(vote.voter, signed, vote.signature)
            for vote in certificate.votes
        ):
            return False
        self.certificate = certificate
        return True

    def endorse(self, endorsement: Endorsement) -> None:
        """Take an endorsement in, if it is of a voter, says something new, and is not one too many."""
        voter, terms = endorsement.voter, self._terms
        new = [item for item in endorsement.items if voter not in self._endorsers.get(item, ())]
        if voter not in terms.voters or not new:
            return
        if len(self.endorsed_by(voter)) + len(new) > _MOST_OF_ONE * len(terms.members) + 1:
            return
        signed = endorsement_bytes(terms.topic, endorsement.items)
        if self._signatures.verify(voter, signed, endorsement.signature):
            self.endorsements.setdefault(voter, []).append(endorsement)
            self._by_voter.setdefault(voter, {}).update(dict.fromkeys(new))
            self._held.pop(voter, None)
            for item in new:
                self._endorsers.setdefault(item, {})[voter] = None

    def endorsed_by(self, voter: PeerId) -> Mapping[Spoken, None]:
        """Return everything that a voter has endorsed."""
        return self._by_voter.get(voter, {})

    def endorsers(self, item: Spoken) -> frozenset[PeerId]:
        """Return the voters that have endorsed an item."""
        return frozenset(self._endorsers.get(item, ()))

    def heard_of(self) -> list[Spoken]:
        """Return what others have endorsed, and this member has not got and may use."""
        absent = [item for item in self._endorsers if item.author is not None and item not in self.accepted]
        return [item for item in absent if item.author and self._of_author[item.author] < _MOST_OF_ONE]

    def lacking(self) -> list[Spoken]:
        """Return the statements of the certified vector that have not come."""
        vector = () if self.certificate is None else self.certificate.vector
        said = [Spoken(author, digest) for author, digest in vector if digest not in (NOTHING, TWO_THINGS)]
        return [item for item in said if item not in self.accepted]

    def reasons(self, items: Iterable[Spoken], most: int, me: PeerId) -> tuple[Endorsement, ...]:
        """Return endorsements of these items: of each item `most`, if there are so many, the own one among them."""
        chosen: dict[Endorsement, None] = {}
        for item in items:
            voters = sorted(self._endorsers.get(item, ()), key=lambda voter: voter != me)
            for voter in voters[:most]:
                chosen.update(dict.fromkeys(e for e in self.endorsements[voter] if item in e.items))
        return tuple(chosen)

    @property
    def statements(self) -> dict[PeerId, Statement]:
        """The statements of those that have said one thing, by author."""
        return {s.author: s for s in self.accepted.values() if self._of_author[s.author] == 1}

    @property
    def complete(self) -> bool:
        """Whether every member has said something."""
        return len(self._of_author) == len(self._terms.members)

    @property
    def vector(self) -> Vector:
        """What has been accepted."""
        return vector_of(self._terms.members, self.accepted)

    @property
    def own_digest(self) -> bytes:
        """The digest of what has been accepted."""
        if self._own is None:
            self._own = vector_digest(self.vector)
        return self._own

    def alike(self) -> frozenset[PeerId]:
        """Return the voters that have endorsed exactly what this member has accepted."""
        for voter in self._terms.voters - self._held.keys():
            held = self.endorsed_by(voter)
            self._held[voter] = vector_digest(vector_of(self._terms.members, held)) if held else NOTHING
        return frozenset(voter for voter, digest in self._held.items() if digest == self.own_digest)
