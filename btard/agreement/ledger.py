"""What one member has accepted: statements and endorsements, each verified, each within its time."""

from __future__ import annotations

from collections.abc import Iterable

from btard.agreement.messages import (
    Endorsement,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    Verify,
    body_digest,
    endorsement_bytes,
    statement_bytes,
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

    def __init__(self, terms: Terms, verify: Verify) -> None:
        self._terms = terms
        self._verify = verify
        self._endorsers: dict[Spoken, set[PeerId]] = {}
        self.accepted: dict[Spoken, Statement] = {}
        self.endorsements: dict[PeerId, list[Endorsement]] = {}
        self.certificate: VectorCertificate | None = None

    def offer(self, at: float, statement: Statement) -> bool:
        """Take a statement in, if it has the endorsements that it needs by now; returns whether it is new.

        What comes too late is forgotten: a voter that has accepted it in time gives it again with its endorsements.
        """
        item, terms = statement.item, self._terms
        if item in self.accepted or statement.author not in terms.members or statement.body is None:
            return False
        if sum(other.author == item.author for other in self.accepted) >= _MOST_OF_ONE:
            return False
        if at > terms.statement_until(len(self._endorsers.get(item, ()))) or body_digest(statement.body) != item.digest:
            return False
        if not self._verify(statement.author, statement_bytes(terms.topic, item.digest), statement.signature):
            return False
        self.accepted[item] = statement
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
            vote.vector == item.digest and self._verify(vote.voter, signed, vote.signature)
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
        if self._verify(voter, endorsement_bytes(terms.topic, endorsement.items), endorsement.signature):
            self.endorsements.setdefault(voter, []).append(endorsement)
            for item in new:
                self._endorsers.setdefault(item, set()).add(voter)

    def endorsed_by(self, voter: PeerId) -> frozenset[Spoken]:
        """Return everything that a voter has endorsed."""
        return frozenset(item for endorsement in self.endorsements.get(voter, ()) for item in endorsement.items)

    def reasons(self, items: Iterable[Spoken]) -> tuple[Endorsement, ...]:
        """Return the endorsements of these items."""
        wanted = set(items)
        every = (endorsement for held in self.endorsements.values() for endorsement in held)
        return tuple(endorsement for endorsement in every if not wanted.isdisjoint(endorsement.items))

    @property
    def vector(self) -> Vector:
        """What has been accepted."""
        return vector_of(self._terms.members, self.accepted)
