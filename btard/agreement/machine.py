"""One member's part in an agreement: a state machine of messages and time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from btard.agreement.ledger import Ledger
from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Message,
    Package,
    Sign,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    VectorVote,
    Verify,
    body_digest,
    endorsement_bytes,
    statement_bytes,
    vector_digest,
    vector_of,
    vote_bytes,
)
from btard.agreement.terms import Terms
from btard.identity import PeerId


class AgreementStage(Enum):
    """How far a member is.

    HEARING: statements come in. ECHOING: it has endorsed what it heard in time. VOTED: it has voted for a vector, or
    lets voting pass. DECIDED: it is done.
    """

    HEARING = auto()
    ECHOING = auto()
    VOTED = auto()
    DECIDED = auto()


@dataclass(frozen=True)
class Out:
    """A message for some members."""

    receivers: tuple[PeerId, ...]
    message: Message


class Agreement:
    """Decides a vector. Every method is an event, takes the time in seconds, and returns messages.

    Attributes:
        decision: what all honest members decide, None before.
        deadline: when `tick` wants to be called.
    """

    def __init__(self, terms: Terms, me: PeerId, sign: Sign, verify: Verify, patience_seconds: float) -> None:
        """Make a member's part.

        Args:
            patience_seconds: how long it waits for what may never come before it goes on by itself; what has been
                measured, as safety does not depend on it.
        """
        self._terms, self._me, self._sign = terms, me, sign
        self._patience = min(patience_seconds, terms.window_seconds)
        self._ledger = Ledger(terms, verify)
        self._verify = verify
        self._votes: dict[PeerId, VectorVote] = {}
        self._stage = AgreementStage.HEARING
        self._start = 0.0
        self._until = 0.0
        self._patient_until = 0.0
        self._pushed = False
        self.decision: Vector | None = None

    @property
    def _others(self) -> tuple[PeerId, ...]:
        return tuple(peer for peer in self._terms.members if peer != self._me)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called: never again once it has decided."""
        if self._stage is AgreementStage.DECIDED:
            return math.inf
        return self._until if self._pushed else min(self._until, self._start + self._terms.window_seconds)

    def start(self, now: float, body: bytes) -> list[Out]:
        """Say `body`, and begin to count the windows."""
        self._start, self._until = now, now + self._patience
        digest = body_digest(body)
        own = Statement(self._me, digest, self._sign(statement_bytes(self._terms.topic, digest)), body)
        self._ledger.offer(0.0, own)
        return [Out(self._others, Package((own,))), *self._advance(now)]

    def hear(self, now: float, message: Message) -> list[Out]:
        """A message came; it does not matter from whom."""
        if self._stage is AgreementStage.DECIDED:
            return []
        match message:
            case VectorVote():
                self._count(message)
                return self._advance(now)
            case Package():
                return self._take_in(now, message) + self._advance(now)

    def tick(self, now: float) -> list[Out]:
        """Time has passed."""
        return [] if self._stage is AgreementStage.DECIDED else self._advance(now)

    def _count(self, vote: VectorVote) -> None:
        new = vote.voter in self._terms.voters and vote.voter not in self._votes
        if new and self._verify(vote.voter, vote_bytes(self._terms.topic, vote.vector), vote.signature):
            self._votes[vote.voter] = vote

    def _take_in(self, now: float, relay: Package) -> list[Out]:
        ledger, at = self._ledger, now - self._start
        silent = {voter for voter in self._terms.voters if not ledger.endorsed_by(voter)}
        for endorsement in relay.endorsements:
            ledger.endorse(endorsement)
        new = [statement.item for statement in relay.statements if ledger.offer(at, statement)]
        if relay.certificate is not None and ledger.certify(at, relay.certificate):
            new.append(relay.certificate.item)
        if self._stage is AgreementStage.HEARING:
            new = [item for item in new if item.author is None]  # the own echo names the rest
            return self._pass_on(new)
        first_heard = [voter for voter in silent if ledger.endorsed_by(voter)]
        return self._pass_on(new) + self._give(first_heard, list(ledger.accepted))

    def _pass_on(self, items: Sequence[Spoken]) -> list[Out]:
        """Endorse what has just been accepted, tell all, and give it to those that may lack it."""
        own = self._endorse(items)
        lacking = self._give(self._others, items)
        told = {peer for out in lacking for peer in out.receivers}
        others = tuple(peer for peer in self._others if peer not in told)
        return [*lacking, Out(others, Package(endorsements=own))] if own and others else lacking

    def _endorse(self, items: Sequence[Spoken]) -> tuple[Endorsement, ...]:
        """Sign that these items have been accepted; a member without a vote only passes on."""
        if self._me not in self._terms.voters or not items:
            return ()
        signed = tuple(items)
        own = Endorsement(self._me, signed, self._sign(endorsement_bytes(self._terms.topic, signed)))
        self._ledger.endorse(own)
        return (own,)

    def _give(self, receivers: Iterable[PeerId], items: Sequence[Spoken]) -> list[Out]:
        """Send what the receivers have not endorsed, with all endorsements."""
        ledger, actions = self._ledger, []
        for peer in receivers:
            lacks = [item for item in items if item not in ledger.endorsed_by(peer)]
            if lacks and peer != self._me:
                statements = tuple(ledger.accepted[item] for item in lacks if item.author is not None)
                certificate = ledger.certificate if any(item.author is None for item in lacks) else None
                actions.append(Out((peer,), Package(statements, certificate, ledger.reasons(lacks))))
        return actions

    def _advance(self, now: float) -> list[Out]:
        """Go as far as what has come, or the time, allows."""
        actions: list[Out] = []
        if self._stage is AgreementStage.HEARING and (all(self._ledger.vector.values()) or now >= self._until):
            self._stage, self._patient_until = AgreementStage.ECHOING, now + self._patience
            echo = self._endorse(list(self._ledger.accepted))
            actions += [Out(self._others, Package(endorsements=echo))] if echo else []
        if not self._pushed and now >= self._start + self._terms.window_seconds:
            self._pushed = True
            actions += self._give(self._others, list(self._ledger.accepted))
        if self._stage is AgreementStage.ECHOING:
            actions += self._vote(now)
        return actions + self._decide(now)

    def _vote(self, now: float) -> list[Out]:
        """VectorVote once all voters, or later a quorum, have echoed the same; at the end of voting anyhow."""
        terms, end = self._terms, self._start + self._terms.vote_until
        ledger, own = self._ledger, self._ledger.vector
        alike = sum(vector_of(terms.members, ledger.endorsed_by(voter)) == own for voter in terms.voters)
        enough = len(terms.voters) if now < self._patient_until else terms.quorum
        if alike < enough and now < end:
            self._until = self._patient_until if now < self._patient_until else end
            return []
        self._stage, self._until = AgreementStage.VOTED, self._start + terms.most_seconds
        if self._me not in terms.voters or now > end:
            return []
        vector = vector_digest(own)
        self._votes[self._me] = VectorVote(self._me, vector, self._sign(vote_bytes(terms.topic, vector)))
        return [Out(self._others, self._votes[self._me])]

    def _decide(self, now: float) -> list[Out]:
        actions, ledger = self._certify(now), self._ledger
        if ledger.certificate is not None:
            vector = dict(ledger.certificate.vector)
            said = {Spoken(*entry) for entry in vector.items() if entry[1] not in (NOTHING, TWO_THINGS)}
            if said <= ledger.accepted.keys():
                self._stage, self.decision = AgreementStage.DECIDED, vector
        elif now >= self._start + self._terms.most_seconds:
            self._stage, self.decision = AgreementStage.DECIDED, ledger.vector
        return actions

    def _certify(self, now: float) -> list[Out]:
        """Certify what this member holds once a quorum has voted for it; before, nothing is hashed."""
        quorum = self._terms.quorum
        if len(self._votes) < quorum:
            return []
        vector = self._ledger.vector
        mine = vector_digest(vector)
        votes = tuple(vote for vote in self._votes.values() if vote.vector == mine)[:quorum]
        certificate = VectorCertificate(tuple(vector.items()), votes)
        certified = len(votes) == quorum and self._ledger.certify(now - self._start, certificate)
        return self._pass_on([certificate.item]) if certified else []
