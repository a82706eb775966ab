"""Disputes in which one member says that it has not got what another should have sent: what most recall decides.

An honest peer complains only after it has asked all members for what it misses and has waited until every one of them
that had it in time has passed it on. So if it has not come, no honest member had it in time, and all of them say so
(`Report.late`): more than half of the voters. Of an honest peer no honest member says so: a complaint about it stays
in the minority, and its author goes alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.failure.overdue import kept_waiting
from btard.round.failure.stories import state_of
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Commit, Digest
from btard.vocabulary import Eliminate

SIGNED_FAULTS = frozenset({Fault.OTHER_DIGEST, Fault.OTHER_STATE, Fault.OTHER_VIEW})
"""Faults that two signed messages show: a peer that complains of them attaches what it has been told."""


def _missed(
    attempt: Attempt, edges: Iterable[tuple[PeerId, PeerId, Fault]], reports: Mapping[PeerId, Report]
) -> Counter[PeerId]:
    """Return for how many voters each peer was late, or overdue, or has sent nothing at all."""
    seats, late = attempt.seats, kept_waiting(attempt, reports)
    if seats.rules.verification.eliminate is not Eliminate.MUTUAL:
        late |= {(author, peer) for author, report in reports.items() for peer in report.late}
    late |= {(accuser, accused) for accuser, accused, _ in edges}
    return Counter(accused for accuser, accused in late if accuser in seats.voters and accuser != accused)


def outvoted(attempt: Attempt, reports: Mapping[PeerId, Report]) -> set[PeerId]:
    """Return the peers that are out whatever else is said: most voters miss something of them, or got it late."""
    missed = [(author, accused, fault) for author, report in reports.items() for accused, fault in report.complaints]
    edges = [edge for edge in missed if edge[2] not in SIGNED_FAULTS]
    count = _missed(attempt, edges, reports)
    return {accused for accused, number in count.items() if attempt.seats.is_majority(number)}


class Disputes:
    """The complaints of a failed attempt.

    Attributes:
        suspended: peers that are out, and why.
        pairs: of the complaints of fewer than half, under `mutual`: accuser and accused, which are both banned.
    """

    def __init__(
        self,
        attempt: Attempt,
        reports: Mapping[PeerId, Report],
        attached: Mapping[PeerId, Sequence[Envelope]],
        alive: set[PeerId],
    ) -> None:
        """Only the testimony of those that are still in question (`alive`) counts."""
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._reports = {author: report for author, report in sorted(reports.items()) if author in alive}
        self._attached = attached
        self._alive = alive
        self._mutual = self._seats.rules.verification.eliminate is Eliminate.MUTUAL
        self.suspended: dict[PeerId, str] = {}
        self.pairs: list[tuple[PeerId, PeerId]] = []

    def decide(self, *, proven: bool) -> None:
        """Decide; `proven` says that somebody is known to have told different things to different peers, which explains
        that digests differ."""
        edges = [edge for edge in self._complaints() if not (proven and edge[2] is Fault.OTHER_DIGEST)]
        self._outvote(edges)
        self._compare(edges)
        for accuser, accused, fault in edges:
            if accuser in self.suspended or accused in self.suspended:
                continue
            if self._mutual:
                self._pair(accuser, accused, fault)
            else:
                self.suspended[accuser] = f"most do not say that of {accused.short} ({_words(fault)})"

    def _complaints(self) -> list[tuple[PeerId, PeerId, Fault]]:
        """Return the complaints between members still in question, in canonical order."""
        return sorted(
            (author, accused, fault)
            for author, report in self._reports.items()
            for accused, fault in report.complaints
            if accused in self._alive and author != accused
        )

    def _outvote(self, edges: Iterable[tuple[PeerId, PeerId, Fault]]) -> None:
        """Suspend peers of which most voters miss something or, but in the paper's mode, got it late."""
        edges = list(edges)
        for accused, number in _missed(self._attempt, edges, self._reports).items():
            if accused in self._alive and self._seats.is_majority(number):
                fault = next((_words(fault) for _, peer, fault in edges if peer == accused), "late")
                self.suspended[accused] = f"{fault}, say {number} of {len(self._seats.voters)}"

    def _compare(self, edges: Iterable[tuple[PeerId, PeerId, Fault]]) -> None:
        """Suspend whose signed state, or digest, is not that of most, where somebody complains of it."""
        faults = {(accused, fault) for _, accused, fault in edges if fault in SIGNED_FAULTS}
        for fault in sorted({fault for _, fault in faults}):
            said = self._signed_values(fault)
            values = Counter(value for peer, value in said.items() if peer in self._seats.voters)
            most, count = values.most_common(1)[0] if values else (b"", 0)
            if not self._seats.is_majority(count):
                continue
            for peer in sorted({accused for accused, other in faults if other is fault}):
                if said.get(peer, most) != most:
                    self.suspended.setdefault(peer, f"{_words(fault)} than that of {count}")

    def _signed_values(self, fault: Fault) -> dict[PeerId, bytes]:
        """Return where members stand, or what they have signed of everything: by their own word and, of those that
        somebody complains of, by what they have signed."""
        kind = MessageKind.DIGEST if fault is Fault.OTHER_DIGEST else MessageKind.COMMIT
        envelopes = {e for attached in self._attached.values() for e in attached if e.kind is kind}
        said: dict[PeerId, bytes] = {}
        for envelope in sorted(envelopes, key=lambda e: e.body):
            if self._said.malformation(envelope) is not None:
                continue
            if kind is MessageKind.COMMIT:
                said.setdefault(envelope.author, state_of(Commit.decode(envelope.body)))
            elif Digest.decode(envelope.body).attempt_id == self._seats.attempt_id:
                said.setdefault(envelope.author, envelope.body)
        if kind is MessageKind.COMMIT:
            said = {author: report.state for author, report in self._reports.items() if report.state} | said
        return said

    def _pair(self, accuser: PeerId, accused: PeerId, fault: Fault) -> None:
        """Both are out, as in the paper; only a newcomer takes no voter along: keys are free, and a crowd of them could
        otherwise turn the honest majority of the voters into a minority."""
        voters = self._seats.voters
        losers = {peer for peer in (accuser, accused) if peer not in voters} or {accuser, accused}
        for peer, other in ((accuser, accused), (accused, accuser)):
            if peer in losers:
                self.suspended[peer] = f"in dispute with {other.short} ({_words(fault)})"
        if losers <= voters:
            self.pairs.append((accuser, accused))


def _words(fault: Fault) -> str:
    return fault.name.lower().replace("_", " ")
