"""What a report says and attaches: read from what its author has signed, and what this peer may put into its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Report
from btard.round.messages.bodies import Digest
from btard.round.messages.form import Attachments, form_fault


@dataclass(frozen=True)
class Told:
    """A well-formed report of one attempt and membership.

    Attributes:
        attached: the messages of members that it carries, genuine.
    """

    envelope: Envelope
    report: Report
    attached: tuple[Envelope, ...]

    @property
    def digest(self) -> Envelope | None:
        """What its author shows to have signed about the whole attempt."""
        return self.digests.get(self.envelope.author)

    @property
    def digests(self) -> dict[PeerId, Envelope]:
        """The signed digests of whole attempts that it carries, by author."""
        shown = (e for e in self.attached if e.kind is MessageKind.DIGEST and form_fault(e) is None)
        return {envelope.author: envelope for envelope in shown}


def told_in(attempt: Attempt, envelope: Envelope) -> Told | None:
    """Return what a genuine report tells; None if it is malformed, or speaks of another roster."""
    if attempt.said.malformation(envelope) is not None:
        return None
    report = envelope.read(Report)
    if not set(report.members) <= set(attempt.seats.roster.members):
        return None
    return Told(envelope, report, attempt.said.carried(report.attached))


def finishes(attempt: Attempt, told: Iterable[Told], out: Collection[PeerId]) -> tuple[Envelope, ...]:
    """Return the signed digests under which an attempt is finished after all, by author; nothing if it has failed.

    Either somebody shows one digest that all members have signed. Or all that have reported have signed one, and are
    most voters: then one that is silent can have finished with no other. But not where one of them is `out`, as
    it was late for most voters or is proven to lie: without its digest nobody has finished, and the attempt is repeated
    without it.
    """
    told, seats = list(told), attempt.seats
    for one in told:
        shown = one.digests
        if seats.known == shown.keys() and _is_one_result(attempt, shown.values()):
            return tuple(shown[peer] for peer in seats.members)
    own = {one.envelope.author: one.digest for one in told}
    signed = {author: digest for author, digest in own.items() if digest is not None}
    prompt = len(signed) == len(told) and signed.keys().isdisjoint(out)
    if prompt and seats.roster.is_majority(signed) and _is_one_result(attempt, signed.values()):
        return tuple(signed[peer] for peer in sorted(signed))
    return ()


def _is_one_result(attempt: Attempt, digests: Iterable[Envelope]) -> bool:
    bodies = {digest.body for digest in digests}
    return len(bodies) == 1 and Digest.decode(bodies.pop()).attempt_id == attempt.seats.attempt_id


def fitting(attempt: Attempt, envelopes: Iterable[Envelope], most: int | None = None) -> tuple[bytes, ...]:
    """Return what a report may attach of these, each once, in this order, as far as there is room: `most` bytes."""
    seats = attempt.seats
    place = Attachments(seats.rules.run, seats.roster.step, seats.number, seats.known)
    room = seats.caps.attached if most is None else most
    found = []
    for envelope in envelopes:
        data = envelope.encode()
        size = len(data) + 5
        if size <= room and envelope.is_genuine() and place.admit(data, envelope):
            found.append(data)
            room -= size
    return tuple(found)
