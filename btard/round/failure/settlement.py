"""A failed attempt on its way to an outcome: agreement on reports, a court if somebody accuses, agreement on votes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum, auto
from functools import lru_cache, partial

from btard.agreement.machine import Agreement, Dispensable, Out
from btard.agreement.messages import Package, Signatures, Statement
from btard.agreement.terms import Terms
from btard.agreement.wire import pack, unpack
from btard.hashing import tagged_digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.delivery.intake import Intake
from btard.round.failure.court.court import Court
from btard.round.failure.disputes import outvoted
from btard.round.failure.heard import Heard, signed_in
from btard.round.failure.overdue import INFORMED, miss_reports
from btard.round.failure.resolve import Resolution, Testimony, convict, leavers, resolve, tells_two_stories
from btard.round.failure.standing import Standing, admissible
from btard.round.failure.stories import state_of, told_by_all
from btard.round.failure.told import Told, finishes, fitting
from btard.round.messages.accusations import Charge, Fault, Relay, Report, Vote
from btard.round.messages.bodies import Phase


def _has_signed(peer: PeerId, content: bytes, signature: bytes) -> bool:
    return _seen_to_sign(peer, content, signature)


# What members endorse and vote for, relays bring from many sides, and in simulations to every peer.
@lru_cache(maxsize=4096)
def _seen_to_sign(peer: PeerId, content: bytes, signature: bytes) -> bool:
    return peer.has_signed(content, signature)


def _nobody(_: Mapping[PeerId, Statement]) -> frozenset[PeerId]:
    return frozenset()


class SettlementStage(Enum):
    """Where a settlement stands, in the order of docs/protocol.md, "When an attempt fails"."""

    COLLECTING = auto()
    """The attempt goes on; what others say of it is kept."""
    REPORTS = auto()
    """The attempt is given up and reported; the members agree on what each has reported."""
    COURT = auto()
    """Somebody is accused, and this peer looks at what there is to see."""
    VOTES = auto()
    """This peer has voted; the members agree on the votes."""
    RESOLVED = auto()
    """All is agreed on."""


class Settlement:
    """One peer's part in settling one attempt. It listens from the attempt's beginning, and acts once `freeze` is
    called.

    Attributes:
        stage: where it stands.
        heard: what has been said.
        court: this peer's part in the court, from the stage COURT on.
        resolution: what follows for the members, once all is agreed on.
        finished: once resolved, the signed digests under which the attempt is finished after all; else nothing.
    """

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        standing: Standing,
        left: dict[PeerId, Envelope],
    ) -> None:
        """Begin to listen.

        Args:
            standing: what earlier failures have led to.
            left: goodbyes of members, by author.
        """
        self._context = context
        self.attempt = attempt
        self._seats = attempt.seats
        self._exchange = exchange
        self._standing = standing
        self.heard = Heard(attempt, standing, left)
        self.court: Court | None = None
        self.stage = SettlementStage.COLLECTING
        self.finished: tuple[Envelope, ...] = ()
        self.resolution: Resolution | None = None
        self._reports = self._agreement(votes=False, voters=self._seats.voters, dispensable=self._may_do_without)
        self._votes: Agreement | None = None
        self._early: list[tuple[PeerId, Package]] = []
        self._told: dict[PeerId, Told] = {}
        self._attached: dict[PeerId, tuple[Envelope, ...]] = {}
        self._court_ends = 0.0
        self._informed = False
        self._parted = 0
        self._misses_at = math.inf
        self._absent: frozenset[PeerId] = frozenset()

    def _agreement(self, *, votes: bool, voters: frozenset[PeerId], dispensable: Dispensable) -> Agreement:
        # Of all members, those without a report too: relays are read before it is known who has reported.
        seats, members = self._seats, self._seats.members
        terms = Terms(
            tagged_digest("btard votes" if votes else "btard reports", seats.attempt_id),
            members,
            voters,
            seats.rules.delay_bound_seconds,
            frozenset(members) - voters if votes else frozenset(),
        )
        kind = MessageKind.VOTE if votes else MessageKind.REPORT
        signatures = Signatures(
            self._context.key.sign,
            _has_signed,
            partial(self._signed_in, kind),
        )
        return Agreement(terms, seats.me, signatures, dispensable, self.heard.left.keys)

    def _signed_in(self, kind: MessageKind, author: PeerId, body: bytes) -> bytes | None:
        return signed_in(self.attempt, kind, author, body)

    @property
    def frozen(self) -> bool:
        """Whether the attempt is given up."""
        return self.stage is not SettlementStage.COLLECTING

    @property
    def reasoned(self) -> bool:
        """Whether others are known to have given the attempt up for a reason."""
        return bool(self.heard.reasons or self.heard.impatience.overdue) or self._reports.certified

    @property
    def spoilers(self) -> tuple[PeerId, ...]:
        """The members to blame where an attempt is finished after all: its failure would cost them their place."""
        if self.resolution is None or not self.finished:
            return ()
        resolution = self.resolution
        return (*(peer for peer, _ in resolution.suspended), *(ban.peer for ban in resolution.bans))

    @property
    def wakes_at(self) -> float:
        """When something is to be done, whatever arrives."""
        match self.stage:
            case SettlementStage.COURT:
                assert self.court is not None
                return min(self._court_ends, self.court.urges_at)
            case SettlementStage.VOTES:
                assert self._votes is not None
                return self._votes.deadline
        return min(self._reports.deadline, self._misses_at)

    def freeze(
        self,
        now: float,
        phase: Phase,
        complaints: dict[PeerId, Fault],
        shown: list[Envelope],
        charge: Charge | None,
        late: Collection[PeerId] = (),
    ) -> list[Action]:
        """Give the attempt up and report why, and which peers were late; `shown` is what the report attaches."""
        seats, heard = self._seats, self.heard
        self._informed = now - self.attempt.results.shared_at >= INFORMED * seats.rules.delay_bound_seconds
        reaction = bool(heard.reasons) and not (complaints or charge)
        overdue = () if heard.reasons else heard.impatience.proven
        reasons = sorted(heard.reasons, key=lambda reason: len(reason.body))[:1]
        report = Report(
            phase=phase,
            reaction=reaction or self._reports.certified,
            members=seats.members,
            complaints=tuple(sorted(complaints.items())),
            charge=charge,
            attached=fitting(self.attempt, [*heard.left.values(), *shown, *reasons]),
            late=tuple(sorted(heard.impatience.said_by(seats.me).union(late))),
            state=state_of(commit) if (commit := self.attempt.said.commits.get(seats.me)) else b"",
            told=told_by_all(self.attempt) if charge or Fault.OTHER_DIGEST in complaints.values() else b"",
            overdue=overdue,
        )
        report = self._context.behaviour.report(self._context.number, report, self.attempt.view)
        envelope = self._context.sign(seats.number, MessageKind.REPORT, report.encode())
        self.stage = SettlementStage.REPORTS
        self._misses_at = now + (self._context.pace.most_wait() or math.inf)
        return self._send(self._reports.start(now, _statement(envelope)), votes=False)

    def hear(self, now: float, envelope: Envelope) -> list[Action]:
        """A member's REPORT, VOTE or RELAY of this attempt came, or its LEAVE, with its signature verified; raises
        Malformed."""
        match envelope.kind:
            case MessageKind.LEAVE:
                self.heard.add_goodbye(envelope)
                return []
            case MessageKind.REPORT:
                return self._hear_report(now, envelope)
            case MessageKind.VOTE:
                return self._hear_votes(now, envelope.author, Package((_statement(envelope),)))
        return self._hear_relay(now, envelope)

    def hear_from(self, now: float, envelope: Envelope, intake: Intake) -> list[Action]:
        """As `hear`; an author whose message is malformed, or forged, is muted."""
        try:
            actions = self.hear(now, envelope)
        except Malformed:
            intake.mute(envelope)
            return []
        if self._reports.forged or (self._votes is not None and self._votes.forged):
            intake.mute(envelope)
        return actions

    def _hear_report(self, now: float, envelope: Envelope) -> list[Action]:
        new = self.heard.add_report(envelope, learns=not self.frozen)
        package = Package(tuple(_statement(one) for one in new or [envelope]))
        return self._send(self._reports.hear(now, envelope.author, package), votes=False)

    def _hear_relay(self, now: float, envelope: Envelope) -> list[Action]:
        relay, seats = envelope.read(Relay), self._seats
        package = unpack(relay.package, seats.members, limit=seats.caps.body[MessageKind.RELAY])
        if relay.votes:
            return self._hear_votes(now, envelope.author, package)
        outs = self._reports.hear(now, envelope.author, package)
        for one in package.statements:
            if self._reports.holds(one.item):
                self.heard.add_report(Envelope.decode(one.body), learns=not self.frozen)
        return self._send(outs, votes=False)

    def _hear_votes(self, now: float, sender: PeerId, package: Package) -> list[Action]:
        if self._votes is None:
            if self.stage is not SettlementStage.RESOLVED:
                self._early.append((sender, package))
            return []
        return self._send(self._votes.hear(now, sender, package), votes=True)

    def _send(self, outs: list[Out], *, votes: bool) -> list[Action]:
        """Return the messages of an agreement as they travel: the own statement as it is signed, all else in relays."""
        actions: list[Action] = []
        for out in outs:
            for package in self._portions(out.message):
                own = next((one.body for one in package.statements if one.author == self._seats.me), None)
                if own is not None and package == Package(package.statements[:1]):
                    actions.append(Send(out.receivers, own))
                    continue
                body = Relay(votes, pack(package, self._seats.members)).encode()
                envelope = self._context.sign(self._seats.number, MessageKind.RELAY, body)
                actions.append(Send(out.receivers, envelope.encode()))
        return actions

    def _portions(self, package: Package) -> list[Package]:
        """Cut a package so that each message holds no more statements than fit."""
        most, portions, size = self._seats.caps.carrier, list[list[Statement]](), 0
        for statement in package.statements:
            length = len(statement.body) + 128
            if not portions or size + length > most:
                portions.append([])
                size = 0
            portions[-1].append(statement)
            size += length
        first = replace(package, statements=tuple(portions[0]) if portions else ())
        return [first, *(Package(tuple(more), endorsements=package.endorsements) for more in portions[1:])]

    def _may_do_without(self, statements: Mapping[PeerId, Statement]) -> frozenset[PeerId]:
        """Return the members whose reports may be done without: those that have left, but of those that have reported
        first only where another report tells of it, so that all leave out the same; and those that are late for most
        voters, or have not reported for most, where nothing that they say can be news: half of the voters, and so an
        honest one, have not signed everything, so nobody can have finished; or all have signed the same."""
        told = self._read({author: Envelope.decode(one.body) for author, one in statements.items()})
        gone = leavers(envelope for one in told.values() for envelope in one.attached)
        gone |= self.heard.left.keys() - statements.keys()
        out = outvoted(self.attempt, {author: one.report for author, one in told.items()})
        prompt = {author: one for author, one in told.items() if author not in out}
        roster = self._seats.roster
        unsigned = {author for author, one in prompt.items() if one.digest is None}
        if not roster.is_majority(roster.voters - unsigned) or finishes(self.attempt, prompt.values(), out):
            gone |= out.union(self.heard.impatience.overdue) - (self._reports.spoken - out)
        return frozenset(gone)

    def _miss(self, now: float) -> list[Action]:
        """Say of which members no report has come for too long, once."""
        if now < self._misses_at:
            return []
        self._misses_at = math.inf
        silent = set(self._seats.others) - self._reports.spoken - self.heard.left.keys()
        return miss_reports(self._context, self._seats, self.heard.impatience, silent)

    def _read(self, envelopes: Mapping[PeerId, Envelope]) -> dict[PeerId, Told]:
        """Return the reports that count: well-formed, and of this membership."""
        read = {author: self.heard.read(envelope) for author, envelope in sorted(envelopes.items())}
        return {a: one for a, one in read.items() if one is not None and one.report.members == self._seats.members}

    def advance(self, now: float) -> list[Action]:
        """Go on as far as what has arrived, or the time, allows."""
        actions: list[Action] = []
        absent = frozenset(self.heard.left).union(self.heard.impatience.overdue)
        while True:
            before = self.stage
            match before:
                case SettlementStage.REPORTS:
                    actions += self._miss(now)
                    if now >= self._reports.deadline or self._absent != absent:
                        actions += self._send(self._reports.tick(now), votes=False)
                    if self._reports.decision is not None:
                        actions += self._hold_court(now)
                case SettlementStage.COURT:
                    actions += self._sit(now)
                case SettlementStage.VOTES:
                    assert self._votes is not None
                    if now >= self._votes.deadline or self._absent != absent:
                        actions += self._send(self._votes.tick(now), votes=True)
                    if self._votes.decision is not None:
                        self._resolve()
                case SettlementStage.COLLECTING | SettlementStage.RESOLVED:
                    pass
            if self.stage is before:
                self._absent = absent
                return actions

    def _hold_court(self, now: float) -> list[Action]:
        """Read what has been agreed on, and open the court if there is anything for it to hear."""
        said = {author: [Envelope.decode(s.body) for s in of] for author, of in self._reports.decided.items()}
        self._told = self._read({author: of[0] for author, of in said.items() if len(of) == 1})
        self._attached = {author: one.attached for author, one in self._told.items()}
        for author, of in said.items():
            if author not in self._told:
                self._attached[author] = tuple(of)  # two reports, or one that is malformed, convict
        reports = {author: one.report for author, one in self._told.items()}
        proven = convict(self.attempt, (e for attached in self._attached.values() for e in attached))
        out = outvoted(self.attempt, reports) | {ban.peer for ban in proven}
        self.finished = finishes(self.attempt, self._told.values(), out)
        charges = {} if self.finished else admissible(self.attempt, reports, self._standing)
        lists = {} if self.finished else {author: report.told for author, report in reports.items() if report.told}
        if not (charges or lists) or self._seats.me not in self._told:
            self._resolve()
            return []
        self.stage = SettlementStage.COURT
        phases = {author: report.phase for author, report in reports.items()}
        self.court = Court(self._context, self.attempt, self._exchange, charges, phases, lists, self._informed)
        self._court_ends = now + self.court.seconds()
        voters = self._seats.voters & self._told.keys()
        self._votes = self._agreement(votes=True, voters=voters, dispensable=_nobody)
        actions = self.court.open(now)
        for sender, package in self._early:
            actions += self._hear_votes(now, sender, package)
        self._early.clear()
        return actions

    def _sit(self, now: float) -> list[Action]:
        """Look at what has come, and vote once there is nothing more to see."""
        assert self.court is not None and self._votes is not None
        actions = self.court.advance(now)
        if now < self._court_ends and not self.court.decided:
            return actions
        self.stage = SettlementStage.VOTES
        own, said = None, self.attempt.said
        if self._seats.me in self._seats.voters:
            misled = tells_two_stories({**self._attached, self._seats.me: said.contradicting})
            own = _statement(self.court.vote(misled=misled))
        return actions + self._send(self._votes.start(now, own, self._court_ends), votes=True)

    def _resolve(self) -> None:
        self.stage = SettlementStage.RESOLVED
        votes: dict[PeerId, tuple[Envelope, Vote]] = {}
        shown = dict(self._attached)
        for author, of in (self._votes.decided if self._votes else {}).items():
            envelopes = tuple(Envelope.decode(statement.body) for statement in of)
            malformed = any(self.attempt.said.malformation(envelope) is not None for envelope in envelopes)
            if len(envelopes) > 1 or malformed:
                shown[author] = (*shown.get(author, ()), *envelopes)
                continue
            vote = envelopes[0].read(Vote)
            shown[author] = (*shown.get(author, ()), *self.attempt.said.carried(vote.attached))
            if vote.attempt_id == self._seats.attempt_id:
                votes[author] = (envelopes[0], vote)
        self.resolution = resolve(
            self.attempt,
            Testimony(
                reports={author: one.report for author, one in self._told.items()},
                signed={author: one.envelope for author, one in self._told.items()},
                attached=shown,
                charges={} if self.court is None else self.court.charges,
                votes=votes,
                banned=self._standing.banned,
            ),
        )


def _statement(envelope: Envelope) -> Statement:
    return Statement(envelope.author, envelope.content_digest(), envelope.encode())
