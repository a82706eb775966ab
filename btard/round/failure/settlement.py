"""A failed attempt on its way to a resolution: reports, relays, the court if somebody accuses, votes, resolve."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.failure.court import Court
from btard.round.failure.heard import Heard
from btard.round.failure.resolve import Resolution, tells_two_stories
from btard.round.failure.told import fitting
from btard.round.messages.accusations import Charge, Fault, Report
from btard.round.messages.attachments import relays
from btard.round.messages.bodies import Forward, Phase


class SettlementStage(Enum):
    """Where a settlement stands, in the order of docs/protocol.md, "When an attempt fails"."""

    COLLECTING = auto()
    """The attempt goes on; what others say of it is kept."""
    REPORTS = auto()
    """The attempt is given up and reported; the reports of the others are awaited."""
    RELAYS = auto()
    """Everybody relays the reports that it holds."""
    COURT = auto()
    """Somebody is accused, and this peer looks at what there is to see."""
    VOTES = auto()
    """This peer has voted; the votes of the others are awaited."""
    VOTE_RELAYS = auto()
    """Everybody relays the votes that it holds."""
    RESOLVED = auto()
    """All that can be expected is here."""


class Settlement:
    """One peer's part in settling one attempt. It collects from the attempt's beginning, and acts once `freeze` is
    called.

    Attributes:
        stage: where it stands.
        heard: what has been said.
        court: this peer's part in the court, from the stage COURT on.
        deadline: when the stage ends at the latest, in seconds of the driver's clock.
    """

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        judged: frozenset[tuple[PeerId, Charge]],
        *,
        earlier: Sequence[Envelope] = (),
        left: Mapping[PeerId, Envelope] | None = None,
        blame_views: bool = False,
    ) -> None:
        """Begin to collect; `earlier` is what was said about the step's earlier failures."""
        self._context = context
        self.attempt = attempt
        self._seats = attempt.seats
        self._exchange = exchange
        self.heard = Heard(attempt, judged, earlier=earlier, left=left, blame_views=blame_views)
        self.court: Court | None = None
        self.stage = SettlementStage.COLLECTING
        self._passed_on = False
        self._frozen_at = 0.0
        self.deadline = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the attempt is given up."""
        return self.stage is not SettlementStage.COLLECTING

    @property
    def wakes_at(self) -> float:
        """When something is to be done, whatever arrives: at the deadline, or when the court asks for what is late."""
        court = self.court if self.stage is SettlementStage.COURT else None
        return self.deadline if court is None else min(self.deadline, court.urges_at)

    def extend_to(self, time: float) -> None:
        """Let the stage last until a time, if it would end before."""
        self.deadline = max(self.deadline, time)

    def pass_on(self) -> list[Action]:
        """Let all members know the first reason, while this peer goes on: one that knows of it does not complain, and
        must not be the only one to know."""
        seats = self._seats
        if self._passed_on or not self.heard.reasoned:
            return []
        self._passed_on = True
        body = Forward((min(self.heard.reasons(), key=lambda reason: reason.size).encode(),)).encode()
        if len(body) > seats.caps.carrier:
            return []
        return [Send(seats.others, self._context.sign(seats.number, MessageKind.FORWARD, body).encode())]

    def freeze(
        self,
        now: float,
        phase: Phase,
        complaints: dict[PeerId, Fault],
        proofs: list[Envelope],
        charge: Charge | None,
        late: Collection[PeerId] = (),
    ) -> list[Action]:
        """Give the attempt up and report why, and which peers were late."""
        seats, rules, heard = self._seats, self._seats.rules, self.heard
        self.stage, self._frozen_at = SettlementStage.REPORTS, now
        heard.close()
        own_reasons = bool(complaints or proofs or charge)
        reaction = bool(heard.reporters) and not own_reasons
        if reaction:
            # A peer that has not heard of the reason must not blame those that stopped for it.
            proofs = sorted(heard.reasons(), key=lambda reason: len(reason.body))[:1]
        report = Report(
            phase=phase,
            reaction=reaction,
            members=seats.members,
            complaints=tuple(sorted(complaints.items())),
            charge=charge,
            attached=fitting(self.attempt, [*heard.left.values(), *proofs]),
            late=tuple(sorted(late)),
        )
        envelope = self._context.sign(seats.number, MessageKind.REPORT, report.encode())
        heard.add_own_report(envelope)
        longest_phase = max(rules.commit_seconds, seats.check_seconds, rules.gather_seconds, rules.agree_seconds)
        self.deadline = now + longest_phase + rules.delay_bound_seconds
        return [Send(seats.others, envelope.encode())]

    def advance(self, now: float) -> list[Action]:
        """Go on as far as what has arrived, or the deadline, allows."""
        actions: list[Action] = []
        while True:
            before = self.stage
            match before:
                case SettlementStage.REPORTS:
                    actions += self._await_reports(now)
                case SettlementStage.RELAYS:
                    actions += self._await_relays(now)
                case SettlementStage.COURT:
                    actions += self._sit(now)
                case SettlementStage.VOTES:
                    actions += self._await_votes(now)
                case SettlementStage.VOTE_RELAYS:
                    if now >= self.deadline or not self.heard.awaited_relays(votes=True):
                        self.stage = SettlementStage.RESOLVED
                case SettlementStage.COLLECTING | SettlementStage.RESOLVED:
                    pass
            if self.stage is before:
                return actions

    def _await_reports(self, now: float) -> list[Action]:
        """Relay the reports once all are here that can be expected."""
        heard, delay_bound = self.heard, self._seats.rules.delay_bound_seconds
        apart = heard.views_differ and not heard.blame_views
        if apart:
            # Members in another view may have stopped, and those that wait must not fall behind those that do not.
            self.deadline = min(self.deadline, self._frozen_at + 2 * delay_bound)
        if now < self.deadline and heard.awaited_reports():
            return []
        self.stage = SettlementStage.RELAYS
        actions = self._relay(now, votes=False)
        if apart:
            # Others may wait that long for reports of members that only they count in.
            self.extend_to(self._frozen_at + 4 * delay_bound)
        return actions

    def _await_relays(self, now: float) -> list[Action]:
        """Open the court over what has been relayed, if there is anything for it to hear."""
        if now < self.deadline and self.heard.awaited_relays(votes=False):
            return []
        charges = self.heard.charges()
        self.court = Court(self._context, self.attempt, self._exchange, charges)
        if not charges:
            self.stage = SettlementStage.RESOLVED
            return []
        self.stage = SettlementStage.COURT
        self.deadline = now + self.court.seconds()
        return self.court.open(now)

    def _sit(self, now: float) -> list[Action]:
        """Look at what has come, and vote once there is nothing more to see."""
        assert self.court is not None
        actions = self.court.advance(now)
        if now < self.deadline and not self.court.decided:
            return actions
        self.stage = SettlementStage.VOTES
        actions += self.court.vote(misled=tells_two_stories(self.heard.attached()))
        self.heard.add_own_vote(self.attempt.said.signed[MessageKind.VOTE, self._seats.me])
        self.deadline = now + self.court.seconds() + self._seats.rules.delay_bound_seconds
        return actions

    def _await_votes(self, now: float) -> list[Action]:
        """Relay the votes once all are here that can be expected."""
        if now < self.deadline and self.heard.awaited_votes():
            return []
        self.stage = SettlementStage.VOTE_RELAYS
        return self._relay(now, votes=True)

    def _relay(self, now: float, *, votes: bool) -> list[Action]:
        seats = self._seats
        self.deadline = now + seats.rules.delay_bound_seconds
        portions = relays(self.heard.to_relay(votes=votes), votes=votes, most=seats.caps.evidence)
        signed = [self._context.sign(seats.number, MessageKind.RELAY, relay.encode()) for relay in portions]
        return [Send(seats.others, envelope.encode()) for envelope in signed]

    def resolution(self) -> Resolution | None:
        """Return the outcome, once everything is in or the deadlines have passed."""
        if self.stage is not SettlementStage.RESOLVED or self.court is None:
            return None
        return self.heard.resolve(self.court.charges)
