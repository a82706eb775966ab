"""A failed attempt on its way to a resolution: collect reports, relay them, wait, resolve."""

from __future__ import annotations

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt import Attempt
from btard.round.messages import Fault, Leave, Phase, Relay, Report
from btard.round.phases import StepContext
from btard.round.settle import Resolution, gives_reason, relays, resolve, valid_attachments


class Settlement:
    """Reports and relays of one attempt. It collects from the attempt's beginning, and acts once `freeze` is called."""

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt
        self._reports: dict[PeerId, tuple[Envelope, Report]] = {}
        self._contradictions: dict[PeerId, Envelope] = {}
        self._relayed: dict[PeerId, set[int]] = {}
        self._relay_totals: dict[PeerId, int] = {}
        self._relaying = False
        self.left: dict[PeerId, Envelope] = {}
        self.frozen = False
        self.deadline = 0.0

    @property
    def reporters(self) -> set[PeerId]:
        """Who has reported so far."""
        return set(self._reports)

    @property
    def explained(self) -> set[PeerId]:
        """Whose silence needs no blame: who left, and, once somebody has given a reason, who has reported."""
        members = self._attempt.members
        reasons = any(
            gives_reason(author, report, valid_attachments(envelope, report, members), members)
            for author, (envelope, report) in self._reports.items()
        )
        return set(self.left) | (self.reporters if reasons else set())

    def add_report(self, envelope: Envelope) -> None:
        """Keep a report; raises Malformed."""
        report = Report.decode(envelope.body)
        first = self._reports.setdefault(envelope.author, (envelope, report))
        if first[0].content_digest() != envelope.content_digest():
            self._contradictions.setdefault(envelope.author, envelope)

    def add_relay(self, envelope: Envelope) -> None:
        """Keep the reports that a member relays; raises Malformed."""
        relay = Relay.decode(envelope.body)
        if self._relay_totals.setdefault(envelope.author, relay.total) != relay.total:
            raise Malformed("another number of relays")
        self._relayed.setdefault(envelope.author, set()).add(relay.index)
        for data in relay.reports:
            inner = Envelope.decode(data)
            same_step = (inner.run, inner.step) == (envelope.run, envelope.step)
            if not same_step or inner.author not in self._attempt.position:
                continue
            if inner.kind is MessageKind.REPORT and inner.attempt == envelope.attempt:
                self.add_report(inner)
            elif inner.kind is MessageKind.LEAVE:
                Leave.decode(inner.body)
                self.left.setdefault(inner.author, inner)

    def freeze(self, now: float, phase: Phase, complaints: dict[PeerId, Fault], proofs: list[Envelope]) -> list[Action]:
        """Give the attempt up and report why."""
        attempt, rules = self._attempt, self._attempt.rules
        self.frozen = True
        own_reasons = bool(complaints or proofs)
        report = Report(
            phase=phase,
            reaction=bool(self._reports) and not own_reasons,
            members=attempt.members,
            complaints=tuple(sorted(complaints.items())),
            attached=tuple(envelope.encode() for envelope in [*proofs, *self.left.values()]),
        )
        envelope = self._step.sign(attempt.number, MessageKind.REPORT, report.encode())
        self._reports[attempt.me] = (envelope, report)
        longest_phase = max(rules.commit, rules.scatter, rules.gather, rules.agree)
        self.deadline = now + longest_phase + rules.settle
        return [Send(attempt.others, envelope.encode())]

    def advance(self, now: float) -> list[Action]:
        """Relay the reports once those that can be expected are here, or the deadline has passed."""
        if not self.frozen or self._relaying or (self._awaited_reports() and now < self.deadline):
            return []
        self._relaying = True
        self.deadline = now + self._attempt.rules.settle
        actions: list[Action] = []
        for relay in relays([*(envelope for envelope, _ in self._reports.values()), *self.left.values()]):
            envelope = self._step.sign(self._attempt.number, MessageKind.RELAY, relay.encode())
            actions.append(Send(self._attempt.others, envelope.encode()))
        return actions

    def _awaited_reports(self) -> set[PeerId]:
        """Return who may still report: not who left, and not who most members accuse."""
        members = self._attempt.members
        accusers: dict[PeerId, int] = {}
        for _, report in self._reports.values():
            for accused, _ in report.complaints:
                accusers[accused] = accusers.get(accused, 0) + 1
        outvoted = {peer for peer, count in accusers.items() if 2 * count > len(members)}
        return set(members) - self.reporters - outvoted - set(self.left)

    def resolution(self, now: float) -> Resolution | None:
        """Return the outcome once every reporter's relay is here or the deadline has passed."""
        if not self._relaying:
            return None
        waiting = {
            peer
            for peer in self.reporters - {self._attempt.me}
            if len(self._relayed.get(peer, ())) < self._relay_totals.get(peer, 1)
        }
        if waiting and now < self.deadline:
            return None
        members = self._attempt.members
        attached = {
            author: valid_attachments(envelope, report, members) for author, (envelope, report) in self._reports.items()
        }
        attached[self._attempt.me].extend(self.left.values())
        for author, second in self._contradictions.items():
            attached[author] = [*attached[author], self._reports[author][0], second]
        return resolve(members, {author: report for author, (_, report) in self._reports.items()}, attached)
