"""What one peer has heard about the failure of one attempt, and what follows from it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from btard.identity import Envelope, Heading, Malformed, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.failure.resolve import Resolution, Testimony, admissible, gives_reason, is_proof, resolve
from btard.round.failure.told import Told
from btard.round.messages.accusations import Charge, Fault, Relay, Report, Vote
from btard.round.messages.attachments import ECHOED, SHOWN
from btard.round.messages.bodies import Forward
from btard.round.messages.form import form_fault

_JUDGED = frozenset({MessageKind.REPORT, MessageKind.VOTE})
"""What all must hold alike before they resolve: malformed ones travel in relays, too."""


class Heard:
    """Reports, votes, goodbyes and relays about one attempt: kept, and resolved; nobody is asked or told.

    Attributes:
        attempt: what it is about.
        left: the goodbyes, by author.
        blame_views: whether another view of the membership is a fault by now.
    """

    def __init__(
        self,
        attempt: Attempt,
        judged: frozenset[tuple[PeerId, Charge]],
        *,
        earlier: Iterable[Envelope] = (),
        left: Mapping[PeerId, Envelope] | None = None,
        blame_views: bool = False,
    ) -> None:
        """Begin to listen.

        Args:
            judged: charges that need not be heard again.
            earlier: what was said about the step's earlier failures.
        """
        self.attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._judged = judged
        self._takes_up = True
        self._reports: dict[PeerId, Told] = {}
        self._votes: dict[PeerId, tuple[Envelope, Vote]] = {}
        self._contradictions: dict[PeerId, Envelope] = {}
        self._refused: set[tuple[MessageKind, PeerId]] = set()
        self._relayed: dict[tuple[bool, PeerId], set[int]] = {}
        self._relay_totals: dict[tuple[bool, PeerId], int] = {}
        self._earlier: dict[tuple[MessageKind, PeerId, int], list[Envelope]] = {}
        for envelope in earlier:
            if envelope.kind in _JUDGED:
                self._earlier.setdefault((envelope.kind, envelope.author, envelope.attempt), []).append(envelope)
        self.left: dict[PeerId, Envelope] = dict(left or {})
        self.blame_views = blame_views
        self._passers: set[PeerId] = set()
        self._reasoned_by = 0
        self._is_reasoned = False

    def close(self) -> None:
        """The attempt is given up: broadcasts that reports attach are of no use any more."""
        self._takes_up = False

    @property
    def disturbed(self) -> bool:
        """Whether somebody has left or reported."""
        return bool(self.left or self._reports)

    @property
    def reporters(self) -> set[PeerId]:
        """The members that have reported so far."""
        return set(self._reports)

    @property
    def explained(self) -> set[PeerId]:
        """The members whose silence needs no blame: those that left and, once somebody has given a reason, those that
        have reported."""
        if not self._reports:
            return set(self.left)
        return set(self.left) | (self.reporters if self.reasons() else set())

    @property
    def reasoned(self) -> bool:
        """Whether somebody has reported with a reason."""
        if not self._is_reasoned and len(self._reports) != self._reasoned_by:
            self._reasoned_by = len(self._reports)
            self._is_reasoned = bool(self.reasons())
        return self._is_reasoned

    @property
    def views_differ(self) -> bool:
        """Whether members have come to different results of the attempt before this one."""
        faults = {fault for report in self._read_reports().values() for _, fault in report.complaints}
        return Fault.OTHER_VIEW in faults

    def reasons(self) -> list[Envelope]:
        """Return the reports that say why the attempt has failed."""
        charges = self.charges()
        return [
            told.envelope
            for author, told in self._reports.items()
            if gives_reason(self.attempt, author, told.report, charges, proves=told.proves)
        ]

    def charges(self) -> dict[PeerId, Charge]:
        """Return the charges that the court has to hear, by accuser."""
        return admissible(self.attempt, self._read_reports(), self._judged)

    def _read_reports(self) -> dict[PeerId, Report]:
        """Return what counts: which of two reports or votes came first differs from peer to peer, so neither does."""
        return {author: told.report for author, told in self._reports.items() if author not in self._contradictions}

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

    def add_own_report(self, envelope: Envelope) -> None:
        """Keep this peer's own report."""
        report = envelope.read(Report)
        told = self._said.told_by(report)
        self._reports[envelope.author] = Told(envelope, report, told, is_proof(self.attempt, told))

    def add_own_vote(self, envelope: Envelope) -> None:
        """Keep this peer's own vote."""
        self._votes[envelope.author] = (envelope, envelope.read(Vote))

    def add_goodbye(self, envelope: Envelope) -> None:
        """Keep a well-formed goodbye."""
        self.left.setdefault(envelope.author, envelope)

    def add_report(self, envelope: Envelope) -> None:
        """Keep a report, and those that it passes on because they are its reason; raises Malformed."""
        if self._is_news(envelope):
            for inner in self._keep_report(envelope):
                if inner.kind is MessageKind.REPORT and inner.attempt == envelope.attempt and self._is_news(inner):
                    self._keep_report(inner)

    def _keep_report(self, envelope: Envelope) -> tuple[Envelope, ...]:
        """Keep a report, and return what it attaches; nothing if it is malformed. All is looked at once."""
        attempt = self.attempt
        if not self._is_well_formed(envelope):
            return ()
        if envelope.author in self._reports:
            self._contradictions.setdefault(envelope.author, envelope)
            return ()
        report = envelope.read(Report)
        attached = self._said.told_by(report)
        self._said.compare(e for e in attached if e.kind in SHOWN and e.attempt == self._seats.number)
        if self._takes_up:
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

    def awaited_reports(self) -> set[PeerId]:
        """Return the members that may still report: none that left, and none that most members accuse."""
        seats = self._seats
        accusers: dict[PeerId, int] = {}
        for author, told in self._reports.items():
            blamed = {accused for accused, fault in told.report.complaints if fault is not Fault.OTHER_VIEW}
            for accused in blamed.union(told.report.late):  # a peer in another view speaks, only of another membership
                accusers[accused] = accusers.get(accused, 0) + (author in seats.voters)
        outvoted = {peer for peer, count in accusers.items() if seats.is_majority(count)}
        return set(seats.members) - self.reporters - outvoted - self._unheard(MessageKind.REPORT) - set(self.left)

    def awaited_votes(self) -> set[PeerId]:
        """Return the voters that have reported and may still vote."""
        return (self.reporters & self._seats.voters) - self._unheard(MessageKind.VOTE) - self._votes.keys()

    def awaited_relays(self, *, votes: bool) -> set[PeerId]:
        """Return the other members that have reported, of whose relays some are missing."""
        return {
            peer
            for peer in self.reporters - {self._seats.me}
            if len(self._relayed.get((votes, peer), ())) < self._relay_totals.get((votes, peer), 1)
        }

    def _unheard(self, kind: MessageKind) -> set[PeerId]:
        """The members of which no message of a kind counts any more."""
        return {author for refused, author in self._refused if refused is kind}

    def to_relay(self, *, votes: bool) -> list[Envelope]:
        """Return the votes, or the reports and goodbyes, that all must hold alike."""
        if votes:
            return [envelope for envelope, _ in self._votes.values()] + self._malformed
        reports = [told.envelope for told in self._reports.values()]
        return [*reports, *self._malformed, *self.left.values(), *(self.earlier if self.views_differ else [])]

    @property
    def testimony(self) -> list[Envelope]:
        """Everything that has been said, to be shown to members that have come to another result."""
        said = [told.envelope for told in self._reports.values()] + [envelope for envelope, _ in self._votes.values()]
        return [*said, *self._malformed, *self._contradictions.values(), *self.left.values()]

    @property
    def _malformed(self) -> list[Envelope]:
        """The malformed reports and votes that this peer has heard."""
        return [envelope for envelope in self._said.malformed.values() if envelope.kind in _JUDGED]

    def attached(self) -> dict[PeerId, Sequence[Envelope]]:
        """Return the signed messages that have come to light, by the peers that have shown them."""
        me = self._seats.me
        attached: dict[PeerId, Sequence[Envelope]] = {
            author: self._reports[author].attached for author in self._read_reports()
        }
        attached[me] = [*attached.get(me, ()), *self.left.values(), *self._malformed]
        for author, second in self._contradictions.items():
            told, voted = self._reports.get(author), self._votes.get(author)
            firsts = [told.envelope if told else None, voted[0] if voted else None]
            pair = [first for first in firsts if first is not None and first.kind is second.kind]
            attached[author] = [*attached.get(author, ()), *pair, second]
        return attached

    def resolve(self, charges: Mapping[PeerId, Charge]) -> Resolution:
        """Return the outcome, once the court has heard these charges, by accuser."""
        reports = self._read_reports()
        return resolve(
            self.attempt,
            Testimony(
                reports=reports,
                signed={author: self._reports[author].envelope for author in reports},
                attached=self.attached(),
                charges={author: charge for author, charge in charges.items() if author in reports},
                votes={author: vote for author, vote in self._votes.items() if author in reports},
                blame_views=self.blame_views,
            ),
        )

    def reconsider(self, testimony: Collection[Envelope]) -> Resolution:
        """Return the outcome once more, with what others have heard: all that do so with the same testimony agree."""
        for envelope in testimony:
            if envelope.author not in self._seats.known:
                continue
            with contextlib.suppress(Malformed):
                if envelope.kind is MessageKind.LEAVE:
                    self.add_goodbye(envelope)
                elif envelope.attempt == self._seats.number and envelope.kind is MessageKind.REPORT:
                    self.add_report(envelope)
                elif envelope.attempt == self._seats.number and envelope.kind is MessageKind.VOTE:
                    self.add_vote(envelope)
        return self.resolve(self.charges())
