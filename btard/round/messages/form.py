"""What no honest peer signs, by the bytes alone: without the rules, the roster, or anything else that anybody could
bring along. Signatures inside are not looked at here; headers of what is carried are, before any of them is verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from btard.identity import Envelope, Heading, Malformed, MessageKind, PeerId
from btard.identity.envelope import STEP_KINDS
from btard.round.messages.accusations import Overdue, Relay, Report, Vote
from btard.round.messages.bodies import BROADCAST_FORMS, BROADCASTS, Aggregate, Leave, PartHeader
from btard.round.messages.requests import Certificate, Forward, Pull

FORMS = {
    **BROADCAST_FORMS,
    MessageKind.PART: PartHeader,
    MessageKind.AGGREGATE: Aggregate,
    MessageKind.LEAVE: Leave,
    MessageKind.PULL: Pull,
    MessageKind.FORWARD: Forward,
    MessageKind.CERTIFICATE: Certificate,
    MessageKind.REPORT: Report,
    MessageKind.VOTE: Vote,
    MessageKind.RELAY: Relay,
    MessageKind.OVERDUE: Overdue,
}
"""How the bodies of a step's messages are read; ASK has none."""

SHOWN_ALWAYS = frozenset({*BROADCASTS, MessageKind.PART, MessageKind.AGGREGATE, MessageKind.LEAVE, MessageKind.REPORT})
"""What a report may attach; messages of other kinds only if they are malformed."""

MOST_OF_AUTHOR = 12
"""Messages of one member in a report: one of each kind at most twice, where they contradict each other."""

_FAULTS: WeakKeyDictionary[Envelope, str | None] = WeakKeyDictionary()
"""What has been found of the messages that are in use: reports and courts look at the same ones again and again."""


def form_fault(envelope: Envelope) -> str | None:
    """Return what is wrong with the form of a signed message of a step, or None; it is looked at once."""
    try:
        return _FAULTS[envelope]
    except KeyError:
        return _FAULTS.setdefault(envelope, _find(envelope))


def _find(envelope: Envelope) -> str | None:
    form = FORMS.get(envelope.kind)
    if form is None:
        asked = envelope.kind is MessageKind.ASK and envelope.body
        return "asks for a certificate with a body" if asked else None
    try:
        message = envelope.read(form)
    except Malformed as error:
        return f"cannot be read: {error}"
    try:
        return _carried_fault(envelope, message)
    except Malformed as error:
        return f"carries what is no message: {error}"


def _carried_fault(outer: Envelope, message: object) -> str | None:
    match message:
        case Report():
            return _report_fault(outer, message)
        case Vote():
            place = Attachments(outer.run, outer.step, outer.attempt, None)
            if not all(place.admit(data, Heading.read(data)) for data in message.attached):
                return "attaches what does not belong to its attempt, or is one too many"
        case Forward(envelopes):
            return _first_fault(outer, envelopes, _is_forwarded) or _crowd_fault(envelopes)
        case Certificate(digests):
            return _first_fault(outer, digests, _is_signed_digest)
    return None


def _first_fault(outer: Envelope, carried: Iterable[bytes], belongs: Callable[[Envelope, Heading], bool]) -> str | None:
    for data in carried:
        inner = Heading.read(data)
        if (inner.run, inner.step) != (outer.run, outer.step) or not belongs(outer, inner):
            return f"carries a {inner.kind.name} that does not belong there"
    return None


def _is_forwarded(outer: Envelope, inner: Heading) -> bool:
    kinds = (*BROADCASTS, MessageKind.AGGREGATE, MessageKind.REPORT)
    return inner.attempt == outer.attempt and inner.kind in kinds


def _crowd_fault(carried: tuple[bytes, ...]) -> str | None:
    """A report is forwarded alone."""
    reports = sum(Heading.read(data).kind is MessageKind.REPORT for data in carried) if len(carried) > 1 else 0
    return "forwards a report beside other messages" if reports else None


def _is_signed_digest(outer: Envelope, inner: Heading) -> bool:
    return inner.kind is MessageKind.DIGEST


def _report_fault(outer: Envelope, report: Report) -> str | None:
    members = frozenset(report.members)
    named = {peer for peer, _ in report.complaints}.union(report.late)
    named |= {waiters.peer for waiters in report.overdue}
    if outer.author not in members or not named <= members or outer.author in named:
        return "speaks of others than the other members that it names"
    charge = report.charge
    # The target of an audit may be no member any more.
    if charge is not None and not (
        charge.part < len(members) and (charge.accused in members or charge.kind.about_last_step)
    ):
        return "accuses somebody, or of a part, that is not among the members that it names"
    place = Attachments(outer.run, outer.step, outer.attempt, members)
    for data in report.attached:
        inner = Heading.read(data)
        if not place.admit(data, inner):
            return f"attaches a {inner.kind.name} that does not belong to its attempt, or is one too many"
    return None


class Attachments:
    """What one report of an attempt may attach, one message after the other."""

    def __init__(self, run: bytes, step: int, attempt: int, members: frozenset[PeerId] | None) -> None:
        """Begin with nothing; `members` are those whose messages may follow, None for anybody."""
        self._place = (run, step)
        self._attempt = attempt
        self._members = members
        self._seen: set[bytes] = set()
        self._authors: Counter[PeerId] = Counter()
        self._kinds: Counter[tuple[PeerId, MessageKind]] = Counter()

    def admit(self, data: bytes, inner: Heading | Envelope) -> bool:
        """Whether this message may follow: of the attempt and its members, not twice the same, not more of its author
        and kind than a contradiction takes. Raises Malformed."""
        if data in self._seen or not self._belongs(data, inner):
            return False
        self._seen.add(data)
        self._authors[inner.author] += 1
        self._kinds[inner.author, inner.kind] += 1
        return self._authors[inner.author] <= MOST_OF_AUTHOR and self._kinds[inner.author, inner.kind] <= 2

    def _belongs(self, data: bytes, inner: Heading | Envelope) -> bool:
        """Whether a message is of the attempt; one of a kind that proves nothing, or of an earlier attempt, proves
        something by its form alone."""
        foreign = self._members is not None and inner.author not in self._members
        if (inner.run, inner.step) != self._place or foreign:
            return False
        if inner.kind is MessageKind.LEAVE or (inner.kind in SHOWN_ALWAYS and inner.attempt == self._attempt):
            return True
        if inner.kind not in STEP_KINDS or inner.attempt > self._attempt:
            return False
        return form_fault(inner if isinstance(inner, Envelope) else Envelope.parse(data)) is not None
