"""One member's part in an agreement: a state machine of messages and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from btard.agreement.ledger import Ledger
from btard.agreement.messages import (
    Endorsement,
    Package,
    Signatures,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    VectorVote,
    VoteRound,
    endorsement_bytes,
    vector_digest,
    vote_bytes,
)
from btard.agreement.poll import Poll
from btard.agreement.terms import Terms
from btard.identity import Malformed, PeerId

Dispensable = Callable[[Mapping[PeerId, Statement]], frozenset[PeerId]]
"""The members whose statements may be done without, going by those of the members that have said one thing."""

Farewells = Callable[[], Collection[PeerId]]
"""The members that are known to have bidden farewell."""

_LEAST_PATIENCE = 0.1
"""Of the bound: how long a voter waits at least for echoes that are behind those of a quorum."""


class AgreementStage(Enum):
    """How far a member is.

    LISTENING: it has said nothing yet; what comes is kept. HEARING: statements come in. ECHOING: it has endorsed what
    it heard in time. VOTED: it has voted for a vector, or lets voting pass. DECIDED: it is done, and answers others.
    """

    LISTENING = auto()
    HEARING = auto()
    ECHOING = auto()
    VOTED = auto()
    DECIDED = auto()


@dataclass(frozen=True)
class Out:
    """A message for some members."""

    receivers: tuple[PeerId, ...]
    message: Package


class Agreement:
    """Decides a vector. Every method is an event, takes the time in seconds, and returns messages.

    Attributes:
        decision: what all honest members decide, None before.
        stage: how far this member is.
        forged: whether the last message held a false signature, which its sender cannot have verified; nothing that
            stood behind it was looked at.
    """

    def __init__(
        self,
        terms: Terms,
        me: PeerId,
        signatures: Signatures,
        dispensable: Dispensable,
        farewells: Farewells = frozenset,
    ) -> None:
        """Begin to listen.

        Args:
            farewells: asked whenever votes are counted.
            dispensable: whose silence lets this member go on before the first window is over, and whose word it then
                leaves out, whether it comes in time or not: so nobody divides voters by speaking late. An honest
                member's statement is among what is decided unless a quorum can do without it.
        """
        self._terms, self._me = terms, me
        self._others = tuple(peer for peer in terms.members if peer != me)
        self._signatures, self._dispensable, self._farewells = signatures, dispensable, farewells
        self._ledger = Ledger(terms, signatures, votes=me in terms.voters)
        self._poll = Poll(terms, self._ledger.has_signed)
        self._voted: Vector = {}
        self._patience_seconds = _LEAST_PATIENCE * terms.bound_seconds
        self._shown_at = math.inf
        self._has_voted_again = False
        self._asked: set[tuple[PeerId, Spoken]] = set()
        self._given: set[tuple[PeerId, Spoken]] = set()
        self._weighed = (-1, 0)
        self._clock = math.inf
        self._begun = math.inf
        self._quorum_heard = math.inf
        self._patient_until = math.inf
        self._impatient = False
        self.forged = False
        self._named = False
        self._pushed = False
        self.stage = AgreementStage.LISTENING
        self.decision: Vector | None = None

    def holds(self, item: Spoken) -> bool:
        """Whether this member has accepted that a member has said this."""
        return item in self._ledger.accepted

    @property
    def spoken(self) -> frozenset[PeerId]:
        """The members of which something has been accepted."""
        return frozenset(item.author for item in self._ledger.accepted if item.author is not None)

    @property
    def certified(self) -> bool:
        """Whether others are known to have decided."""
        return self._ledger.certificate is not None

    @property
    def decided(self) -> dict[PeerId, tuple[Statement, ...]]:
        """What the decision names, by author: one statement, or of those that have said two things two."""
        return {} if self.decision is None else self._ledger.named(self.decision)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called: never before it has started, and never again once it has decided."""
        start, terms = self._clock, self._terms
        match self.stage:
            case AgreementStage.LISTENING | AgreementStage.DECIDED:
                return math.inf
            case AgreementStage.HEARING:
                until = start + (terms.window_seconds if self._named else terms.bound_seconds)
            case AgreementStage.ECHOING:
                until = start + terms.vote_until(VoteRound.FIRST) if self._impatient else self._patient_until
            case AgreementStage.VOTED:
                until = start + terms.most_seconds if self._ledger.certificate is None else math.inf
        until = min(until, self._follows_at)
        return until if self._pushed else min(until, start + terms.window_seconds)

    @property
    def _follows_at(self) -> float:
        """When this member shows the majority that it has seen, or votes for it again, if nothing comes."""
        majority, certified = self._poll.majority, self._ledger.certificate is not None
        if majority is None or certified or self._poll.contested or self._has_voted_again:
            return math.inf
        shown, until = self._shown_at < math.inf, self._clock + self._terms.vote_until(VoteRound.SECOND)
        at = self._shown_at + self._terms.window_seconds if shown else majority.seen_at + self._patience_seconds
        return at if self._me in self._terms.voters and at <= until else math.inf

    def start(self, now: float, own: Statement | None, clock: float | None = None) -> list[Out]:
        """Say something, or nothing, and begin to count the windows.

        Args:
            clock: when windows begin to count, where all honest members know that time: until then the agreement goes
                on as fast as everybody speaks, and nobody is late. None for now.
        """
        self._begun, self._clock = now, now if clock is None else max(now, clock)
        self.stage = AgreementStage.HEARING
        outs: list[Out] = []
        if own is not None:
            self._ledger.offer(0.0, own, own=True)
            outs.append(Out(self._others, Package((own,))))
        return outs + self._ask() + self._advance(now)

    def hear(self, now: float, sender: PeerId, message: Package) -> list[Out]:
        """A member's message came."""
        self.forged = False
        self._ledger.part(self._terms.voters.intersection(self._farewells()))
        given = self._give((sender,), [item for item in message.wanted if item in self._ledger.accepted], now)
        if self.stage is AgreementStage.DECIDED:
            return given
        return given + self._take_in(now, message) + self._ask() + self._advance(now)

    def tick(self, now: float) -> list[Out]:
        """Time has passed, or what may be done without has changed."""
        self._weighed = (-1, 0)
        return [] if self.stage in (AgreementStage.LISTENING, AgreementStage.DECIDED) else self._advance(now)

    def _at(self, now: float) -> float:
        return max(0.0, now - self._clock)

    def _take_in(self, now: float, message: Package) -> list[Out]:
        new: list[Spoken] = []
        try:
            self._read(now, message, new)
        except Malformed:
            self.forged = True  # what was accepted before is passed on all the same
        if self.stage in (AgreementStage.LISTENING, AgreementStage.HEARING):
            new = [item for item in new if item.author is None]  # the own echo names the rest
        return self._pass_on(new, now)

    def _read(self, now: float, message: Package, new: list[Spoken]) -> None:
        """Accept what a message holds, and add what is new of it; raises Malformed at the first false signature."""
        self._poll.hear(now, message.votes)
        ledger, at = self._ledger, self._at(now)
        along = [endorsement for endorsement in message.endorsements if ledger.endorse(endorsement)]
        for statement in message.statements:
            if ledger.offer(at, statement, along):
                new.append(statement.item)
        if message.certificate is not None and ledger.certify(at, message.certificate, along):
            new.append(message.certificate.item)

    def _ask(self) -> list[Out]:
        """Ask for statements that a voter is known to hold, each voter once."""
        wanted: dict[PeerId, list[Spoken]] = {}
        for item in [*self._ledger.heard_of(), *self._ledger.lacking()]:
            for voter in sorted(self._ledger.endorsers(item)):
                if (voter, item) not in self._asked and voter != self._me:
                    self._asked.add((voter, item))
                    wanted.setdefault(voter, []).append(item)
        return [Out((voter,), Package(wanted=tuple(items))) for voter, items in wanted.items()]

    def _pass_on(self, items: Sequence[Spoken], now: float) -> list[Out]:
        """Endorse what has just been accepted, tell all, and give it to those that may lack it."""
        own = self._endorse(items)
        lacking = self._give(self._others, items, now)
        told = {peer for out in lacking for peer in out.receivers}
        others = tuple(peer for peer in self._others if peer not in told)
        return [*lacking, Out(others, Package(endorsements=own))] if own and others else lacking

    def _endorse(self, items: Sequence[Spoken]) -> tuple[Endorsement, ...]:
        """Sign that these items have been accepted; a member without a vote, or that has not begun, only passes on."""
        if self._me not in self._terms.voters or not items or self.stage is AgreementStage.LISTENING:
            return ()
        signed = tuple(items)
        own = Endorsement(self._me, signed, self._signatures.sign(endorsement_bytes(self._terms.topic, signed)))
        self._ledger.endorse(own, own=True)
        return (own,)

    def _give(self, receivers: Iterable[PeerId], items: Sequence[Spoken], now: float) -> list[Out]:
        """Send what the receivers have not endorsed, once, with the endorsements that it needs when it arrives."""
        if not items:
            return []  # as mostly
        ledger, outs = self._ledger, list[Out]()
        needed = min(int(self._at(now) / self._terms.window_seconds) + 1, self._terms.faults + 1)
        for peer in receivers:
            known = ledger.endorsed_by(peer)
            lacks = [item for item in items if item not in known and (peer, item) not in self._given]
            if lacks and peer != self._me:
                self._given.update((peer, item) for item in lacks)
                statements = tuple(ledger.accepted[item] for item in lacks if item.author is not None)
                certificate = ledger.certificate if any(item.author is None for item in lacks) else None
                outs.append(Out((peer,), Package(statements, certificate, ledger.reasons(lacks, needed, self._me))))
        return outs

    def _advance(self, now: float) -> list[Out]:
        """Go as far as what has come, or the time, allows."""
        outs: list[Out] = []
        self._weigh()
        if self.stage is AgreementStage.HEARING:
            outs += self._echo(now)
        if not self._pushed and now >= self._clock + self._terms.window_seconds:
            self._pushed = True
            voters = sorted(self._terms.voters)  # others ask for what they lack; they have time
            outs += self._give(voters, list(self._ledger.accepted), now)
        if self.stage is AgreementStage.ECHOING:
            outs += self._vote(now)
        outs += self._decide(now)
        if self.decision is None:
            outs += self._vote_again(now)
        return outs

    def _weigh(self) -> None:
        """Find out what may be done without, whenever more has come."""
        known = (len(self._ledger.accepted), len(self._farewells()))
        if self.stage is not AgreementStage.LISTENING and self._weighed != known:
            self._weighed = known
            self._ledger.part(self._terms.voters.intersection(self._farewells()))
            self._ledger.leave_out(self._dispensable(self._ledger.statements))

    def _echo(self, now: float) -> list[Out]:
        """Endorse what has come once nothing more is waited for."""
        ledger, terms = self._ledger, self._terms
        statements = ledger.statements
        if self._quorum_heard == math.inf and terms.suffices(statements.keys(), self._farewells()):
            self._quorum_heard = now
        over = now >= self._clock + terms.window_seconds
        if not (ledger.complete or over):
            return self._name(now)
        self.stage = AgreementStage.ECHOING
        taken = max(0.0, self._quorum_heard - self._begun) if self._quorum_heard < math.inf else 0.0
        self._patience_seconds = min(max(2 * taken, self._patience_seconds), terms.window_seconds)
        self._patient_until = now + self._patience_seconds
        return self._endorse_rest()

    def _name(self, now: float) -> list[Out]:
        """Endorse once what has come by half of the window: at its end hardly anything has to be given again."""
        if self._named or now < self._clock + self._terms.bound_seconds:
            return []
        self._named = True
        return self._endorse_rest()

    def _endorse_rest(self) -> list[Out]:
        known = self._ledger.endorsed_by(self._me)
        echo = self._endorse([item for item in self._ledger.accepted if item not in known])
        return [Out(self._others, Package(endorsements=echo))] if echo else []

    def _vote(self, now: float) -> list[Out]:
        """Vote once all voters that speak, or later most voters, have echoed the same; at the end of voting anyhow. One
        that knows of a majority for something else keeps its vote."""
        terms, end = self._terms, self._clock + self._terms.vote_until(VoteRound.FIRST)
        alike = self._ledger.alike()
        self._impatient = self._impatient or now >= self._patient_until
        enough = terms.is_majority(alike) and (alike >= self._voting() or self._impatient)
        if not enough and now < end:
            return []
        self.stage = AgreementStage.VOTED
        vector, majority = self._ledger.own_digest, self._poll.majority
        if self._me not in terms.voters or now > end or (majority is not None and majority.vector != vector):
            return []
        self._voted = self._ledger.proposal
        return [Out(self._others, Package(votes=(self._cast(now, VoteRound.FIRST, vector),)))]

    def _cast(self, now: float, round_: VoteRound, vector: bytes) -> VectorVote:
        signature = self._signatures.sign(vote_bytes(self._terms.topic, round_, vector))
        vote = VectorVote(self._me, round_, vector, signature)
        self._poll.count(now, vote)
        return vote

    def _voting(self) -> frozenset[PeerId]:
        """Return the voters that are known to take part."""
        spoken = {item.author for item in self._ledger.accepted}
        return self._terms.voters.intersection(spoken) - self._ledger.without - set(self._farewells())

    def _vote_again(self, now: float) -> list[Out]:
        """Show all the first majority that this voter has seen, once those that take part have voted, or after a
        moment; vote for it again where no other vector can have as many, or, by the time at which another majority must
        have been heard of, where none has."""
        majority, poll, terms = self._poll.majority, self._poll, self._terms
        if majority is None or poll.contested or self._me not in terms.voters or self._has_voted_again:
            return []
        if self._ledger.certificate is not None or self.stage is AgreementStage.LISTENING:
            return []
        voted = poll.voted_for(VoteRound.FIRST, majority.vector).keys()
        votes = tuple[VectorVote, ...]()
        if self._shown_at == math.inf:
            if not (voted >= self._voting() or now >= majority.seen_at + self._patience_seconds):
                return []
            self._shown_at, votes = now, majority.votes
        sure = terms.suffices(voted, self._farewells()) or now >= self._shown_at + terms.window_seconds
        if sure and now <= self._clock + terms.vote_until(VoteRound.SECOND):
            self._has_voted_again = True
            votes = (*votes, self._cast(now, VoteRound.SECOND, majority.vector))
        outs = [Out(self._others, Package(votes=votes))] if votes else []
        return outs + self._decide(now)

    def _decide(self, now: float) -> list[Out]:
        outs, ledger = self._certify(now), self._ledger
        if ledger.certificate is not None:
            if ledger.fulfilled:
                self.stage, self.decision = AgreementStage.DECIDED, dict(ledger.certificate.vector)
        elif now >= self._clock + self._terms.most_seconds:
            self.stage, self.decision = AgreementStage.DECIDED, ledger.vector
        return outs

    def _certify(self, now: float) -> list[Out]:
        """Certify what this member has voted for, or holds, once enough have; before, nothing is hashed."""
        votes = self._poll.certified()
        if not votes or self._ledger.certificate is not None:
            return []
        known = [self._voted, self._ledger.proposal]
        vector = next((each for each in known if each and vector_digest(each) == votes[0].vector), None)
        if vector is None:
            return []
        certificate = VectorCertificate(tuple(vector.items()), votes)
        certified = self._ledger.certify(self._at(now), certificate, own=True)
        return self._pass_on([certificate.item], now) if certified else []
