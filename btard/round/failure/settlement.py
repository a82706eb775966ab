"""A failed attempt on its way to a resolution: reports, relays, the court if somebody accuses, votes, resolve."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from btard.identity import Envelope, Heading, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.failure.court import Court
from btard.round.failure.resolve import (
    Resolution,
    Testimony,
    admissible,
    gives_reason,
    is_proof,
    resolve,
    tells_two_stories,
)
from btard.round.failure.told import Told, fitting
from btard.round.messages.accusations import Charge, Fault, Relay, Report, Vote
from btard.round.messages.attachments import ECHOED, SHOWN, relays
from btard.round.messages.bodies import Forward, Phase
from btard.round.messages.form import form_fault

_JUDGED = frozenset({MessageKind.REPORT, MessageKind.VOTE})
"""What all must hold alike before they resolve: malformed ones travel in relays, too."""


class Settlement:
    """Reports, relays and votes of one attempt. It collects from the attempt's beginning, and acts once `freeze` is
    called."""

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        judged: frozenset[tuple[PeerId, Charge]],
        *,
        earlier: Sequence[Envelope] = (),
        blame_views: bool = False,
    ) -> None:
        """Begin to collect; `earlier` is what was said about the step's earlier failures."""
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._exchange = exchange
        self._judged = judged
        self._reports: dict[PeerId, Told] = {}
        self._votes: dict[PeerId, tuple[Envelope, Vote]] = {}
        self._contradictions: dict[PeerId, Envelope] = {}
        self._refused: set[tuple[MessageKind, PeerId]] = set()
        self._relayed: dict[tuple[bool, PeerId], set[int]] = {}
        self._relay_totals: dict[tuple[bool, PeerId], int] = {}
        self._relaying = False
        self._relaying_votes = False
        self.court: Court | None = None
        self.blame_views = blame_views
        self._earlier: dict[tuple[MessageKind, PeerId, int], list[Envelope]] = {}
        for envelope in earlier:
            if envelope.kind in _JUDGED:
                self._earlier.setdefault((envelope.kind, envelope.author, envelope.attempt), []).append(envelope)
        self.left: dict[PeerId, Envelope] = {}
        self._reasoned_by = 0
        self._is_reasoned = False
        self._passed_on = False
        self._passers: set[PeerId] = set()
        self.frozen = False
        self._frozen_at = 0.0
        self.deadline = 0.0

    @property
    def wakes_at(self) -> float:
        """When something is to be done, whatever arrives: at the deadline, or when the court asks for what is late."""
        waits = self.court is not None and not self.court.voted
        return min(self.deadline, self.court.urges_at) if waits and self.court is not None else self.deadline

    @property
    def disturbed(self) -> bool:
        """Whether somebody has left or reported."""
        return bool(self.left or self._reports)

    @property
    def reporters(self) -> set[PeerId]:
        """Who has reported so far."""
        return set(self._reports)

    @property
    def explained(self) -> set[PeerId]:
        """Whose silence needs no blame: who left, and, once somebody has given a reason, who has reported."""
        if not self._reports:
            return set(self.left)
        return set(self.left) | (self.reporters if self._reasons() else set())

    @property
    def reasoned(self) -> bool:
        """Whether somebody has reported with a reason."""
        if not self._is_reasoned and len(self._reports) != self._reasoned_by:
            self._reasoned_by = len(self._reports)
            self._is_reasoned = bool(self._reasons())
        return self._is_reasoned

    def pass_on(self) -> list[Action]:
        """Let all members know the first reason, while this peer goes on: whoever knows of one does not complain, and
        must not be the only one to know."""
        seats = self._seats
        if self._passed_on or not self.reasoned:
            return []
        self._passed_on = True
        body = Forward((min(self._reasons(), key=lambda reason: reason.size).encode(),)).encode()
        if len(body) > seats.caps.carrier:
            return []
        return [
            Send(
                seats.others,
                self._context.sign(seats.number, MessageKind.FORWARD, body).encode(),
            )
        ]

    def passed_on(self, forward: Envelope) -> list[Envelope]:
        """Return the report that a member passes on, one from each; raises Malformed."""
        envelopes = forward.read(Forward).envelopes
        if len(envelopes) != 1 or forward.author in self._passers:
            return []
        report = Envelope.parse(envelopes[0])
        if report.kind is not MessageKind.REPORT or report.author not in self._seats.known:
            return []
        self._passers.add(forward.author)
        return [self._said.papers.read(envelopes[0])] if self._is_news(report) else []

    def _is_news(self, envelope: Envelope) -> bool:
        """Whether a report or vote of a member, whose signature may be false, is worth verifying: it says something,
        and its author has not contradicted itself yet."""
        author, kind = envelope.author, envelope.kind
        known = self._reports.get(author) if kind is MessageKind.REPORT else self._votes.get(author)
        if known is None:
            return (kind, author) not in self._refused
        first = known.envelope if isinstance(known, Told) else known[0]
        return author not in self._contradictions and first.content_digest() != envelope.content_digest()

    def _is_well_formed(self, envelope: Envelope) -> bool:
        """Whether the form of a report or vote is right; its author is not listened to again if it is not."""
        if self._said.malformation(envelope) is None:
            return True
        self._said.accuse_malformed(envelope)
        if envelope.size <= self._seats.caps.evidence:  # or else others may never hear of it
            self._refused.add((envelope.kind, envelope.author))
        return False

    def _reasons(self) -> list[Envelope]:
        """Return the reports that say why the attempt has failed."""
        charges = admissible(self._attempt, self._read_reports(), self._judged)
        return [
            told.envelope
            for author, told in self._reports.items()
            if gives_reason(self._attempt, author, told.report, charges, proves=told.proves)
        ]

    def _read_reports(self) -> dict[PeerId, Report]:
        """Return what counts: which of two reports or votes came first differs from peer to peer, so neither does."""
        return {author: told.report for author, told in self._reports.items() if author not in self._contradictions}

    def add_report(self, envelope: Envelope) -> None:
        """Keep a report, and those that it passes on because they are its reason; raises Malformed."""
        if self._is_news(envelope):
            for inner in self._keep_report(envelope):
                if inner.kind is MessageKind.REPORT and inner.attempt == envelope.attempt and self._is_news(inner):
                    self._keep_report(inner)

    def _keep_report(self, envelope: Envelope) -> tuple[Envelope, ...]:
        """Keep a report, and return what it attaches; nothing if it is malformed. All is looked at once."""
        attempt = self._attempt
        if not self._is_well_formed(envelope):
            return ()
        if envelope.author in self._reports:
            self._contradictions.setdefault(envelope.author, envelope)
            return ()
        report = envelope.read(Report)
        attached = self._said.told_by(report)
        self._said.compare(e for e in attached if e.kind in SHOWN and e.attempt == self._seats.number)
        if not self.frozen:
            attempt.learn(e for e in attached if e.kind in ECHOED)
        self._reports[envelope.author] = Told(envelope, report, attached, is_proof(attempt, attached))
        return attached

    def add_vote(self, envelope: Envelope) -> None:
        """Keep a vote; one of another membership is of no use here. Raises Malformed."""
        if not self._is_news(envelope) or not self._is_well_formed(envelope):
            return
        vote = envelope.read(Vote)
        if vote.attempt_id != self._seats.attempt_id:
            self._refused.add((envelope.kind, envelope.author))
            return
        if self._votes.setdefault(envelope.author, (envelope, vote))[0] is not envelope:
            self._contradictions.setdefault(envelope.author, envelope)

    def add_relay(self, envelope: Envelope) -> None:
        """Keep what a member relays; raises Malformed."""
        relay = envelope.read(Relay)
        key = (relay.votes, envelope.author)
        if self._relay_totals.setdefault(key, relay.total) != relay.total:
            raise Malformed("another number of relays")
        self._relayed.setdefault(key, set()).add(relay.index)
        for data in relay.envelopes:
            heading = Heading.read(data)
            if heading.attempt < envelope.attempt and heading.kind in _JUDGED:
                self._keep_earlier(heading, data)
            if heading.author not in self._seats.known:
                continue
            if heading.kind is MessageKind.LEAVE:
                self._keep_goodbye(heading, data)
            elif heading.attempt == envelope.attempt and self._is_news(Envelope.parse(data)):
                genuine = self._said.papers.read(data)
                if genuine.kind is MessageKind.REPORT:
                    self.add_report(genuine)
                else:
                    self.add_vote(genuine)

    def _keep_goodbye(self, heading: Heading, data: bytes) -> None:
        if heading.author not in self.left:
            leave = self._said.papers.read(data)
            if form_fault(leave) is None:
                self.left[heading.author] = leave

    def _keep_earlier(self, heading: Heading, data: bytes) -> None:
        """Keep a report or vote of an earlier failure: two of one author, which is all that makes a difference. Raises
        Malformed if its signature is false."""
        if heading.author not in self._seats.roster.members:
            return
        kept = self._earlier.setdefault((heading.kind, heading.author, heading.attempt), [])
        if len(kept) < 2:
            envelope = Envelope.parse(data)
            if envelope.content_digest() not in {other.content_digest() for other in kept}:
                envelope.verify()
                kept.append(envelope)

    @property
    def earlier(self) -> list[Envelope]:
        """What was said about the step's earlier failures, as far as this peer has heard."""
        return [envelope for kept in self._earlier.values() for envelope in kept]

    def freeze(
        self,
        now: float,
        phase: Phase,
        complaints: dict[PeerId, Fault],
        proofs: list[Envelope],
        charge: Charge | None,
        late: Collection[PeerId] = (),
    ) -> list[Action]:
        """Give the attempt up and report why, and of whom something came too late."""
        attempt, seats = self._attempt, self._seats
        rules = seats.rules
        self.frozen, self._frozen_at = True, now
        own_reasons = bool(complaints or proofs or charge)
        reaction = bool(self._reports) and not own_reasons
        if reaction:
            # Who has not heard of the reason must not blame those that stopped for it.
            proofs = sorted(self._reasons(), key=lambda reason: len(reason.body))[:1]
        report = Report(
            phase=phase,
            reaction=reaction,
            members=seats.members,
            complaints=tuple(sorted(complaints.items())),
            charge=charge,
            attached=fitting(attempt, [*self.left.values(), *proofs]),
            late=tuple(sorted(late)),
        )
        envelope = self._context.sign(seats.number, MessageKind.REPORT, report.encode())
        told = self._said.told_by(report)
        self._reports[seats.me] = Told(envelope, report, told, is_proof(attempt, told))
        longest_phase = max(rules.commit_seconds, seats.check_seconds, rules.gather_seconds, rules.agree_seconds)
        self.deadline = now + longest_phase + rules.delay_bound_seconds
        return [Send(seats.others, envelope.encode())]

    def advance(self, now: float) -> list[Action]:
        """Go on as far as what has arrived, or the deadline, allows."""
        actions: list[Action] = []
        if not self.frozen:
            return actions
        if not self._relaying and self.views_differ and not self.blame_views:
            # Whoever is in another view may have stopped, and those who wait must not fall behind those who do not.
            self.deadline = min(self.deadline, self._frozen_at + 2 * self._seats.rules.delay_bound_seconds)
        if not self._relaying and not (self._awaited_reports() and now < self.deadline):
            self._relaying = True
            envelopes = [told.envelope for told in self._reports.values()] + self._malformed + [*self.left.values()]
            actions += self._relay(now, envelopes + (self.earlier if self.views_differ else []), votes=False)
            if self.views_differ and not self.blame_views:
                # Others may wait that long for reports of members that only they count in.
                self.deadline = max(self.deadline, self._frozen_at + 4 * self._seats.rules.delay_bound_seconds)
        if self._relaying and self.court is None and self._relays_in(now, votes=False):
            charges = admissible(self._attempt, self._read_reports(), self._judged)
            self.court = Court(self._context, self._attempt, self._exchange, charges)
            if charges:
                self.deadline = now + self.court.seconds()
                actions += self.court.open(now)
        if self.court is not None and self.court.charges:
            actions += self.court.advance(now)
            actions += self._advance_votes(now, self.court)
        return actions

    def _advance_votes(self, now: float, court: Court) -> list[Action]:
        seats = self._seats
        actions: list[Action] = []
        if not court.voted and (court.decided or now >= self.deadline):
            actions += court.vote(misled=tells_two_stories(self._attached()))
            own = self._said.signed[MessageKind.VOTE, seats.me]
            self._votes[seats.me] = (own, own.read(Vote))
            self.deadline = now + court.seconds() + seats.rules.delay_bound_seconds
        refused = {author for kind, author in self._refused if kind is MessageKind.VOTE}
        voters = (seats.voters & self.reporters) - refused
        if court.voted and not self._relaying_votes and (voters <= self._votes.keys() or now >= self.deadline):
            self._relaying_votes = True
            said = [envelope for envelope, _ in self._votes.values()] + self._malformed
            actions += self._relay(now, said, votes=True)
        return actions

    def _relay(self, now: float, envelopes: list[Envelope], *, votes: bool) -> list[Action]:
        seats = self._seats
        self.deadline = now + seats.rules.delay_bound_seconds
        actions: list[Action] = []
        for relay in relays(envelopes, votes=votes, most=seats.caps.evidence):
            envelope = self._context.sign(seats.number, MessageKind.RELAY, relay.encode())
            actions.append(Send(seats.others, envelope.encode()))
        return actions

    def _relays_in(self, now: float, *, votes: bool) -> bool:
        """Whether all relays that can be expected are here, or the deadline has passed."""
        waiting = {
            peer
            for peer in self.reporters - {self._seats.me}
            if len(self._relayed.get((votes, peer), ())) < self._relay_totals.get((votes, peer), 1)
        }
        return not waiting or now >= self.deadline

    def _awaited_reports(self) -> set[PeerId]:
        """Return who may still report: not who left, and not who most members accuse."""
        seats = self._seats
        accusers: dict[PeerId, int] = {}
        for author, told in self._reports.items():
            blamed = {accused for accused, fault in told.report.complaints if fault is not Fault.OTHER_VIEW}
            for accused in blamed.union(told.report.late):  # who is in another view speaks, only of another membership
                accusers[accused] = accusers.get(accused, 0) + (author in seats.voters)
        outvoted = {peer for peer, count in accusers.items() if seats.is_majority(count)}
        refused = {author for kind, author in self._refused if kind is MessageKind.REPORT}
        return set(seats.members) - self.reporters - outvoted - refused - set(self.left)

    def resolution(self, now: float) -> Resolution | None:
        """Return the outcome once everything is in or the deadline has passed."""
        if self.court is None:
            return None
        if self.court.charges and not (self._relaying_votes and self._relays_in(now, votes=True)):
            return None
        return self._resolve_by(self.court.charges)

    @property
    def attempt(self) -> Attempt:
        """The attempt that this is about."""
        return self._attempt

    @property
    def testimony(self) -> list[Envelope]:
        """Everything that has been said, to be shown to members that have come to another result."""
        said = [told.envelope for told in self._reports.values()] + [envelope for envelope, _ in self._votes.values()]
        return [*said, *self._malformed, *self._contradictions.values(), *self.left.values()]

    @property
    def _malformed(self) -> list[Envelope]:
        """The malformed reports and votes that this peer has heard."""
        return [envelope for envelope in self._said.malformed.values() if envelope.kind in _JUDGED]

    @property
    def views_differ(self) -> bool:
        """Whether members have come to different results of the attempt before this one."""
        faults = {fault for report in self._read_reports().values() for _, fault in report.complaints}
        return Fault.OTHER_VIEW in faults

    def reconsider(self, testimony: Iterable[Envelope]) -> Resolution:
        """Return the outcome once more, with what others have heard: all who do so with the same testimony agree."""
        seats = self._seats
        for envelope in testimony:
            if envelope.author not in seats.known:
                continue
            with contextlib.suppress(Malformed):
                if envelope.kind is MessageKind.LEAVE:
                    self.left.setdefault(envelope.author, envelope)
                elif envelope.attempt == seats.number and envelope.kind is MessageKind.REPORT:
                    self.add_report(envelope)
                elif envelope.attempt == seats.number and envelope.kind is MessageKind.VOTE:
                    self.add_vote(envelope)
        return self._resolve_by(admissible(self._attempt, self._read_reports(), self._judged))

    def _resolve_by(self, heard: Mapping[PeerId, Charge]) -> Resolution:
        reports = self._read_reports()
        return resolve(
            self._attempt,
            Testimony(
                reports=reports,
                signed={author: self._reports[author].envelope for author in reports},
                attached=self._attached(),
                charges={author: charge for author, charge in heard.items() if author in reports},
                votes={author: vote for author, vote in self._votes.items() if author in reports},
                blame_views=self.blame_views,
            ),
        )

    def _attached(self) -> dict[PeerId, Sequence[Envelope]]:
        """Return the signed messages that have come to light, by who has shown them."""
        attached: dict[PeerId, Sequence[Envelope]] = {
            author: self._reports[author].attached for author in self._read_reports()
        }
        attached[self._seats.me] = [*attached.get(self._seats.me, ()), *self.left.values(), *self._malformed]
        for author, second in self._contradictions.items():
            told, voted = self._reports.get(author), self._votes.get(author)
            firsts = [told.envelope if told else None, voted[0] if voted else None]
            pair = [first for first in firsts if first is not None and first.kind is second.kind]
            attached[author] = [*attached.get(author, ()), *pair, second]
        return attached
