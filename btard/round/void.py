"""A failed attempt on its way to a resolution: reports, relays, the court if somebody accuses, votes, resolve."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.envelope import MAX_ENVELOPE
from btard.round.accusations import Charge, Fault, Relay, Report, Vote
from btard.round.actions import Action, Send
from btard.round.attachments import ECHOED, SHOWN, relays, valid_attachments
from btard.round.attempt import Attempt
from btard.round.exchange import Exchange
from btard.round.messages import Forward, Leave, Phase, contradict
from btard.round.phases import StepContext
from btard.round.settle import Resolution, Testimony, admissible, gives_reason, resolve, tells_two_stories
from btard.round.tribunal import Court

_FRAME = 512
"""Bytes; what a message takes beside the one that it passes on."""


class Settlement:
    """Reports, relays and votes of one attempt. It collects from the attempt's beginning, and acts once `freeze` is
    called."""

    def __init__(
        self,
        step: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        judged: frozenset[tuple[PeerId, Charge]],
        *,
        earlier: Sequence[Envelope] = (),
        blame_views: bool = False,
    ) -> None:
        """Begin to collect; `earlier` is what was said about the step's earlier failures."""
        self._step = step
        self._attempt = attempt
        self._exchange = exchange
        self._judged = judged
        self._reports: dict[PeerId, tuple[Envelope, Report]] = {}
        self._votes: dict[PeerId, tuple[Envelope, Vote]] = {}
        self._contradictions: dict[PeerId, Envelope] = {}
        self._relayed: dict[tuple[bool, PeerId], set[int]] = {}
        self._relay_totals: dict[tuple[bool, PeerId], int] = {}
        self._relaying = False
        self._relaying_votes = False
        self.court: Court | None = None
        self.blame_views = blame_views
        self._earlier: dict[tuple[MessageKind, PeerId, int], list[Envelope]] = {}
        for envelope in earlier:
            self._keep_earlier(envelope)
        self.left: dict[PeerId, Envelope] = {}
        self._reasoned_by = 0
        self._is_reasoned = False
        self._passed_on = False
        self._passers: set[PeerId] = set()
        self.frozen = False
        self._frozen_at = 0.0
        self.deadline = 0.0

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
        if self._passed_on or not self.reasoned:
            return []
        self._passed_on = True
        data = min((envelope.encode() for envelope in self._reasons()), key=len)
        if len(data) > MAX_ENVELOPE - _FRAME:
            return []
        body = Forward((data,)).encode()
        return [Send(self._attempt.others, self._step.sign(self._attempt.number, MessageKind.FORWARD, body).encode())]

    def passed_on(self, forward: Envelope) -> list[Envelope]:
        """Return the report that a member passes on, one from each; raises Malformed."""
        envelopes = Forward.decode(forward.body).envelopes
        if len(envelopes) != 1 or forward.author in self._passers:
            return []
        report = Envelope.parse(envelopes[0])
        here = (forward.run, forward.step, forward.attempt, MessageKind.REPORT)
        if (report.run, report.step, report.attempt, report.kind) != here or report.author not in self._attempt.known:
            return []
        self._passers.add(forward.author)
        known = self._reports.get(report.author)
        if known is not None and known[0].content_digest() == report.content_digest():
            return []
        report.verify()
        return [report]

    def _reasons(self) -> list[Envelope]:
        """Return the reports that say why the attempt has failed."""
        charges = admissible(self._attempt, self._read_reports(), self._judged)
        return [
            envelope
            for author, (envelope, report) in self._reports.items()
            if gives_reason(
                self._attempt, author, report, valid_attachments(envelope, report, self._attempt.known), charges
            )
        ]

    def _read_reports(self) -> dict[PeerId, Report]:
        """Return what counts: which of two reports or votes came first differs from peer to peer, so neither does."""
        return {author: report for author, (_, report) in self._reports.items() if author not in self._contradictions}

    def add_report(self, envelope: Envelope) -> None:
        """Keep a report, and those that it passes on because they are its reason; raises Malformed."""
        report = envelope.read(Report)
        self._keep_report(envelope, report)
        for inner in valid_attachments(envelope, report, self._attempt.known):
            if inner.kind is MessageKind.REPORT:
                with contextlib.suppress(Malformed):
                    self._keep_report(inner, inner.read(Report))

    def _keep_report(self, envelope: Envelope, report: Report) -> None:
        if envelope.author not in self._reports:
            told = valid_attachments(envelope, report, self._attempt.known)
            self._attempt.compare(e for e in told if e.kind in SHOWN)
            if not self.frozen:
                self._attempt.learn(e for e in told if e.kind in ECHOED)
        first = self._reports.setdefault(envelope.author, (envelope, report))
        if contradict(first[0], envelope):
            self._contradictions.setdefault(envelope.author, envelope)

    def add_vote(self, envelope: Envelope) -> None:
        """Keep a vote; raises Malformed."""
        vote = envelope.read(Vote)
        if vote.context != self._attempt.context:
            raise Malformed("a vote of another membership")
        first = self._votes.setdefault(envelope.author, (envelope, vote))
        if contradict(first[0], envelope):
            self._contradictions.setdefault(envelope.author, envelope)

    def add_relay(self, envelope: Envelope) -> None:
        """Keep what a member relays; raises Malformed."""
        relay = envelope.read(Relay)
        key = (relay.votes, envelope.author)
        if self._relay_totals.setdefault(key, relay.total) != relay.total:
            raise Malformed("another number of relays")
        self._relayed.setdefault(key, set()).add(relay.index)
        for data in relay.envelopes:
            inner = Envelope.decode(data)
            same_step = (inner.run, inner.step) == (envelope.run, envelope.step)
            if same_step and inner.attempt < envelope.attempt:
                self._keep_earlier(inner)
            if not same_step or inner.author not in self._attempt.known:
                continue
            if inner.kind is MessageKind.LEAVE:
                Leave.decode(inner.body)
                self.left.setdefault(inner.author, inner)
            elif inner.attempt == envelope.attempt and inner.kind is MessageKind.REPORT:
                self.add_report(inner)
            elif inner.attempt == envelope.attempt and inner.kind is MessageKind.VOTE:
                self.add_vote(inner)

    def _keep_earlier(self, envelope: Envelope) -> None:
        """Keep a report or vote of an earlier failure: two of one author, which is all that makes a difference."""
        told = envelope.kind in (MessageKind.REPORT, MessageKind.VOTE)
        if not told or envelope.author not in self._attempt.roster.members:
            return
        kept = self._earlier.setdefault((envelope.kind, envelope.author, envelope.attempt), [])
        new = envelope.content_digest() not in {other.content_digest() for other in kept}
        if new and len(kept) < 2:
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
        attempt, rules = self._attempt, self._attempt.rules
        self.frozen, self._frozen_at = True, now
        own_reasons = bool(complaints or proofs or charge)
        reaction = bool(self._reports) and not own_reasons
        if reaction:
            # Who has not heard of the reason must not blame those that stopped for it.
            proofs = sorted(self._reasons(), key=lambda reason: len(reason.body))[:1]
        report = Report(
            phase=phase,
            reaction=reaction,
            members=attempt.members,
            complaints=tuple(sorted(complaints.items())),
            charge=charge,
            attached=tuple(envelope.encode() for envelope in [*proofs, *self.left.values()]),
            late=tuple(sorted(late)),
        )
        envelope = self._step.sign(attempt.number, MessageKind.REPORT, report.encode())
        self._reports[attempt.me] = (envelope, report)
        longest_phase = max(rules.commit, rules.scatter, rules.gather, rules.agree)
        self.deadline = now + longest_phase + rules.settle
        return [Send(attempt.others, envelope.encode())]

    def advance(self, now: float) -> list[Action]:
        """Go on as far as what has arrived, or the deadline, allows."""
        actions: list[Action] = []
        if not self.frozen:
            return actions
        if not self._relaying and self.views_differ and not self.blame_views:
            # Whoever is in another view may have stopped, and those who wait must not fall behind those who do not.
            self.deadline = min(self.deadline, self._frozen_at + 2 * self._attempt.rules.settle)
        if not self._relaying and not (self._awaited_reports() and now < self.deadline):
            self._relaying = True
            envelopes = [*(envelope for envelope, _ in self._reports.values()), *self.left.values()]
            actions += self._relay(now, envelopes + (self.earlier if self.views_differ else []), votes=False)
            if self.views_differ and not self.blame_views:
                # Others may wait that long for reports of members that only they count in.
                self.deadline = max(self.deadline, self._frozen_at + 4 * self._attempt.rules.settle)
        if self._relaying and self.court is None and self._relays_in(now, votes=False):
            charges = admissible(self._attempt, self._read_reports(), self._judged)
            self.court = Court(self._step, self._attempt, self._exchange, charges)
            if charges:
                self.deadline = now + self.court.seconds()
                actions += self.court.open()
        if self.court is not None and self.court.charges:
            actions += self.court.advance()
            actions += self._advance_votes(now, self.court)
        return actions

    def _advance_votes(self, now: float, court: Court) -> list[Action]:
        actions: list[Action] = []
        if not court.voted and (court.decided or now >= self.deadline):
            actions += court.vote(misled=tells_two_stories(self._attached()))
            own = self._attempt.signed[MessageKind.VOTE, self._attempt.me]
            self._votes[self._attempt.me] = (own, Vote.decode(own.body))
            self.deadline = now + court.seconds() + self._attempt.rules.settle
        voters = self._attempt.voters & self.reporters
        if court.voted and not self._relaying_votes and (voters <= self._votes.keys() or now >= self.deadline):
            self._relaying_votes = True
            actions += self._relay(now, [envelope for envelope, _ in self._votes.values()], votes=True)
        return actions

    def _relay(self, now: float, envelopes: list[Envelope], *, votes: bool) -> list[Action]:
        self.deadline = now + self._attempt.rules.settle
        actions: list[Action] = []
        for relay in relays(envelopes, votes=votes):
            envelope = self._step.sign(self._attempt.number, MessageKind.RELAY, relay.encode())
            actions.append(Send(self._attempt.others, envelope.encode()))
        return actions

    def _relays_in(self, now: float, *, votes: bool) -> bool:
        """Whether all relays that can be expected are here, or the deadline has passed."""
        waiting = {
            peer
            for peer in self.reporters - {self._attempt.me}
            if len(self._relayed.get((votes, peer), ())) < self._relay_totals.get((votes, peer), 1)
        }
        return not waiting or now >= self.deadline

    def _awaited_reports(self) -> set[PeerId]:
        """Return who may still report: not who left, and not who most members accuse."""
        accusers: dict[PeerId, int] = {}
        for author, (_, report) in self._reports.items():
            blamed = {accused for accused, fault in report.complaints if fault is not Fault.OTHER_VIEW}
            for accused in blamed.union(report.late):  # who is in another view speaks, only of another membership
                accusers[accused] = accusers.get(accused, 0) + (author in self._attempt.voters)
        outvoted = {peer for peer, count in accusers.items() if self._attempt.is_majority(count)}
        return set(self._attempt.members) - self.reporters - outvoted - set(self.left)

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
        entries: list[tuple[Envelope, object]] = [*self._reports.values(), *self._votes.values()]
        return [*(envelope for envelope, _ in entries), *self._contradictions.values(), *self.left.values()]

    @property
    def views_differ(self) -> bool:
        """Whether members have come to different results of the attempt before this one."""
        faults = {fault for report in self._read_reports().values() for _, fault in report.complaints}
        return Fault.OTHER_VIEW in faults

    def reconsider(self, testimony: Iterable[Envelope]) -> Resolution:
        """Return the outcome once more, with what others have heard: all who do so with the same testimony agree."""
        for envelope in testimony:
            if envelope.author not in self._attempt.known:
                continue
            with contextlib.suppress(Malformed):
                if envelope.kind is MessageKind.LEAVE:
                    self.left.setdefault(envelope.author, envelope)
                elif envelope.attempt == self._attempt.number and envelope.kind is MessageKind.REPORT:
                    self.add_report(envelope)
                elif envelope.attempt == self._attempt.number and envelope.kind is MessageKind.VOTE:
                    self.add_vote(envelope)
        return self._resolve_by(admissible(self._attempt, self._read_reports(), self._judged))

    def _resolve_by(self, heard: Mapping[PeerId, Charge]) -> Resolution:
        reports = self._read_reports()
        return resolve(
            self._attempt,
            Testimony(
                reports=reports,
                signed={author: self._reports[author][0] for author in reports},
                attached=self._attached(),
                charges={author: charge for author, charge in heard.items() if author in reports},
                votes={author: vote for author, vote in self._votes.items() if author in reports},
                blame_views=self.blame_views,
            ),
        )

    def _attached(self) -> dict[PeerId, list[Envelope]]:
        """Return the signed messages that have come to light, by who has shown them."""
        attempt = self._attempt
        attached = {
            author: valid_attachments(self._reports[author][0], report, attempt.known)
            for author, report in self._read_reports().items()
        }
        attached[attempt.me] = [*attached.get(attempt.me, ()), *self.left.values()]
        for author, second in self._contradictions.items():
            firsts = [self._reports.get(author), self._votes.get(author)]
            pair = [entry[0] for entry in firsts if entry is not None and entry[0].kind is second.kind]
            attached[author] = [*attached.get(author, ()), *pair, second]
        return attached
