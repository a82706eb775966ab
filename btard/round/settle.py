"""After an attempt has failed: reports, relays, and who takes part in the next one.

`resolve` is a pure function of the reports, so peers that hold the same reports decide alike. Reports are relayed once,
so within the bound on delay whatever one honest peer got in time, all get. See docs/architecture.md for why a step can
end in two ways only if half of the roster lies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from btard.behaviour import LeaveReason
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import BanReason, Verdict
from btard.round.messages import Commit, Fault, Leave, PartHeader, Relay, Report

RELAY_BYTES = 1 << 20


@dataclass(frozen=True)
class Resolution:
    """Who goes on, and why the others do not."""

    members: tuple[PeerId, ...]
    suspended: tuple[tuple[PeerId, str], ...]
    verdicts: tuple[Verdict, ...]
    left: tuple[PeerId, ...]


def resolve(
    members: tuple[PeerId, ...], reports: Mapping[PeerId, Report], attached: Mapping[PeerId, Sequence[Envelope]]
) -> Resolution:
    """Decide the next attempt's members.

    In this order: proofs ban; who left or reports nothing is out; who is accused by more than half is out; of each
    remaining pair of accuser and accused both are out, since a stranger cannot tell which of them lies (paper:
    ELIMINATE; here a suspension).

    Args:
        members: of the failed attempt.
        reports: one an author.
        attached: the signed messages of this attempt that each author's report carries, contradicting reports included.
    """
    verdicts = convict(members, (envelope for envelopes in attached.values() for envelope in envelopes))
    banned = {verdict.peer for verdict in verdicts}
    left = _leavers(envelope for envelopes in attached.values() for envelope in envelopes)
    suspended: dict[PeerId, str] = {}
    known = Counter(peer for report in reports.values() for peer in report.members)

    def remaining() -> list[PeerId]:
        return [peer for peer in members if peer not in banned and peer not in left and peer not in suspended]

    for peer in remaining():
        report = reports.get(peer)
        if report is None:
            suspended[peer] = "did not answer"
        elif 2 * known[peer] <= len(reports):
            suspended[peer] = "most members did not count it in"
        elif not report.reaction and not gives_reason(peer, report, attached.get(peer, ()), members):
            suspended[peer] = "gave up without a reason"

    edges = _complaints(reports, set(remaining()), proven=bool(banned))
    accusers = Counter(accused for _, accused, _ in edges)
    for accused, count in accusers.items():
        if 2 * count > len(members):
            fault = next(fault for _, peer, fault in edges if peer == accused)
            suspended[accused] = f"{fault.name.lower().replace('_', ' ')}, say {count} of {len(members)}"
    for accuser, accused, fault in edges:
        if accuser not in suspended and accused not in suspended:
            words = fault.name.lower().replace("_", " ")
            suspended[accuser] = f"in dispute with {accused.short} ({words})"
            suspended[accused] = f"in dispute with {accuser.short} ({words})"
    return Resolution(tuple(remaining()), tuple(sorted(suspended.items())), verdicts, tuple(sorted(left - banned)))


def gives_reason(author: PeerId, report: Report, attached: Sequence[Envelope], members: tuple[PeerId, ...]) -> bool:
    """Whether a report misses something of another member, or carries a proof or a goodbye."""
    if any(accused in members and accused != author for accused, _ in report.complaints):
        return True
    return bool(_leavers(attached) or convict(members, attached))


def _leavers(envelopes: Iterable[Envelope]) -> set[PeerId]:
    return {envelope.author for envelope in envelopes if envelope.kind is MessageKind.LEAVE}


def _complaints(
    reports: Mapping[PeerId, Report], alive: set[PeerId], *, proven: bool
) -> list[tuple[PeerId, PeerId, Fault]]:
    """Return the complaints between peers still in question, in canonical order.

    Where someone is proven to have told different things to different peers, differing digests are explained.
    """
    return sorted(
        (author, accused, fault)
        for author, report in reports.items()
        for accused, fault in report.complaints
        if {author, accused} <= alive and author != accused and not (proven and fault is Fault.OTHER_DIGEST)
    )


def convict(members: tuple[PeerId, ...], envelopes: Iterable[Envelope]) -> tuple[Verdict, ...]:
    """Return the bans that signed messages of one attempt prove, at most one a peer, in roster order."""
    by_author: dict[PeerId, dict[tuple[MessageKind, int], Envelope]] = defaultdict(dict)
    verdicts: dict[PeerId, Verdict] = {}
    for envelope in sorted(set(envelopes), key=lambda e: e.encode()):
        part = PartHeader.decode(envelope.body).part if envelope.kind is MessageKind.PART else 0
        first = by_author[envelope.author].setdefault((envelope.kind, part), envelope)
        if first.content_digest() != envelope.content_digest():
            verdict = Verdict(envelope.author, BanReason.EQUIVOCATION, (first, envelope))
            verdicts.setdefault(envelope.author, verdict)
        if envelope.kind is MessageKind.LEAVE and Leave.decode(envelope.body).reason is LeaveReason.LOTTERY:
            verdicts.setdefault(envelope.author, Verdict(envelope.author, BanReason.LOTTERY, (envelope,)))
    for author, messages in by_author.items():
        commit = messages.get((MessageKind.COMMIT, 0))
        for (kind, part), envelope in messages.items():
            if kind is MessageKind.PART and commit is not None:
                promised = Commit.decode(commit.body).parts
                if part < len(promised) and promised[part] != PartHeader.decode(envelope.body).digest:
                    verdicts.setdefault(author, Verdict(author, BanReason.PART_MISMATCH, (commit, envelope)))
    return tuple(verdicts[peer] for peer in members if peer in verdicts)


def valid_attachments(outer: Envelope, report: Report, members: tuple[PeerId, ...]) -> list[Envelope]:
    """Return the attachments of a report that belong to its own attempt and its members; the rest proves nothing."""
    found = []
    for data in report.attached:
        try:
            envelope = Envelope.decode(data)
            _check_body(envelope)
        except Malformed:
            continue
        same_step = (envelope.run, envelope.step) == (outer.run, outer.step)
        same_attempt = envelope.kind is MessageKind.LEAVE or envelope.attempt == outer.attempt
        if same_step and same_attempt and envelope.author in members:
            found.append(envelope)
    return found


def _check_body(envelope: Envelope) -> None:
    match envelope.kind:
        case MessageKind.COMMIT:
            Commit.decode(envelope.body)
        case MessageKind.PART:
            PartHeader.decode(envelope.body)
        case MessageKind.LEAVE:
            Leave.decode(envelope.body)
        case MessageKind.AGGREGATE | MessageKind.DIGEST | MessageKind.REPORT:
            return
        case _:
            raise Malformed("proves nothing")


def relays(reports: Iterable[Envelope]) -> list[Relay]:
    """Return the relay messages for these reports and goodbyes, each within bounds."""
    batches: list[list[bytes]] = [[]]
    for report in reports:
        data = report.encode()
        if batches[-1] and sum(map(len, batches[-1])) + len(data) > RELAY_BYTES:
            batches.append([])
        batches[-1].append(data)
    return [Relay(i, len(batches), tuple(batch)) for i, batch in enumerate(batches)]
