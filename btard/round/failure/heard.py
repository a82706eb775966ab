"""What one peer has heard of the failure of an attempt before anything is agreed: enough to know that it has failed."""

from __future__ import annotations

from btard.identity import Envelope, Heading, Malformed, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.failure.overdue import Impatience
from btard.round.failure.resolve import gives_reason, is_proof
from btard.round.failure.standing import Standing, admissible
from btard.round.failure.told import Told, told_in
from btard.round.messages.attachments import ECHOED, SHOWN
from btard.round.messages.form import form_fault


class Heard:
    """The reports and goodbyes that this peer has heard of one attempt, of each author the first one.

    Attributes:
        attempt: what it is about.
        left: the goodbyes, by author.
        impatience: what voters have said of members that are overdue.
        reasons: the reports that say why the attempt has failed.
    """

    def __init__(self, attempt: Attempt, standing: Standing, left: dict[PeerId, Envelope]) -> None:
        """Begin to listen; `standing` is what earlier failures have led to."""
        self.attempt = attempt
        self._seats = attempt.seats
        self._standing = standing
        self._reports: dict[PeerId, Told] = {}
        self._read: dict[bytes, Told | None] = {}
        self.reasons: list[Envelope] = []
        self.left = left
        self.impatience = Impatience(attempt.seats)

    @property
    def disturbed(self) -> bool:
        """Whether somebody has left or reported, or waits too long."""
        return bool(self.left or self._reports) or self.impatience.begun

    def read(self, envelope: Envelope) -> Told | None:
        """Return what a genuine report tells, as `told_in`; each is read once."""
        digest = envelope.content_digest()
        if digest not in self._read:
            self._read[digest] = told_in(self.attempt, envelope)
        return self._read[digest]

    def add_goodbye(self, envelope: Envelope) -> None:
        """Keep a goodbye of the step, if it is well-formed."""
        if form_fault(envelope) is None:
            self.left.setdefault(envelope.author, envelope)

    def add_overdue(self, envelope: Envelope) -> bool:
        """Keep a genuine word about a member that is overdue; return whether its author, which has not committed yet,
        says that it is at work. Raises Malformed."""
        return self.impatience.add(envelope, committed=envelope.author in self.attempt.said.commits)

    def add_report(self, envelope: Envelope, *, learns: bool) -> list[Envelope]:
        """Keep a report that its author has signed, and those that it shows because they are its reason.

        Args:
            learns: whether the broadcasts that it shows are of use: they are while the attempt goes on.

        Returns:
            What is new, to be agreed on.
        """
        said, number = self.attempt.said, self._seats.number
        known = self._reports.get(envelope.author)
        if envelope.author not in self._seats.known:
            return []
        if known is not None:
            return self._add_other(known, envelope)
        told = self.read(envelope)
        if told is None:
            if said.malformation(envelope) is not None:
                said.accuse_malformed(envelope)
            return []
        self._reports[envelope.author] = told
        for goodbye in (e for e in told.attached if e.kind is MessageKind.LEAVE):
            self.add_goodbye(goodbye)
        said.compare(e for e in told.attached if e.kind in SHOWN and e.attempt == number)
        if learns:
            self.attempt.learn(e for e in told.attached if e.kind in ECHOED)
        new = [envelope]
        for inner in told.attached:
            if inner.kind is MessageKind.REPORT and inner.attempt == number:
                new += self.add_report(inner, learns=learns)
        self._weigh(told)
        return new

    def _add_other(self, known: Told, envelope: Envelope) -> list[Envelope]:
        """Take in another report of an author, which proves that it lies. Others may follow this one, so it can be a
        reason whatever the first one says; what it attaches is not read, or an author could nest its reports."""
        if known.envelope.content_digest() == envelope.content_digest():
            return []
        told = self.read(envelope)
        if told is not None:
            self._weigh(told)
        return [envelope]

    def _weigh(self, told: Told) -> None:
        """Note whether a report says why the attempt has failed."""
        author = told.envelope.author
        reports = {peer: one.report for peer, one in self._reports.items()} | {author: told.report}
        charges = admissible(self.attempt, reports, self._standing)
        proves = is_proof(self.attempt, told.attached)
        if gives_reason(self.attempt, author, told.report, charges, proves=proves):
            self.reasons.append(told.envelope)


def signed_in(attempt: Attempt, kind: MessageKind, author: PeerId, body: bytes) -> bytes | None:
    """Return the digest of a message's content if these bytes are that member's message of a kind in this attempt."""
    seats = attempt.seats
    if len(body) > seats.caps.body[kind] + 256:
        return None
    try:
        if Heading.read(body)[:5] != (seats.rules.run, seats.roster.step, seats.number, kind, author):
            return None
        return Envelope.decode(body).content_digest()
    except Malformed:
        return None
