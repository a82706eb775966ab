"""Signed messages inside reports and relays: which of them count, and in what portions they travel."""

from __future__ import annotations

from collections.abc import Iterable

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.accusations import Relay, Report
from btard.round.messages import SIGNED_ONCE, Leave, PartHeader

RELAY_BYTES = 1 << 20


def valid_attachments(outer: Envelope, report: Report, members: frozenset[PeerId]) -> list[Envelope]:
    """Return the attachments of a report that belong to its own attempt and its members; the rest proves nothing."""
    found = []
    for data in report.attached:
        try:
            envelope = Envelope.decode(data)
            _check_readable(envelope)
        except Malformed:
            continue
        same_step = (envelope.run, envelope.step) == (outer.run, outer.step)
        same_attempt = envelope.kind is MessageKind.LEAVE or envelope.attempt == outer.attempt
        if same_step and same_attempt and envelope.author in members:
            found.append(envelope)
    return found


ECHOED = frozenset({MessageKind.COMMIT, MessageKind.AGGREGATE, MessageKind.REVEAL, MessageKind.SCALARS})
"""Broadcasts that decide what peers compute: two versions of one excuse whoever was misled by them."""


SHOWN = ECHOED | {MessageKind.DIGEST}
"""What a peer attaches to a report that charges somebody, or that found another digest."""


def _check_readable(envelope: Envelope) -> None:
    if envelope.kind is MessageKind.PART:
        PartHeader.decode(envelope.body)
    elif envelope.kind is MessageKind.LEAVE:
        Leave.decode(envelope.body)
    elif envelope.kind not in SIGNED_ONCE:
        raise Malformed("proves nothing")


def relays(envelopes: Iterable[Envelope], *, votes: bool) -> list[Relay]:
    """Return the relay messages for these reports and goodbyes, or votes, each within bounds."""
    batches: list[list[bytes]] = [[]]
    for envelope in envelopes:
        data = envelope.encode()
        if batches[-1] and sum(map(len, batches[-1])) + len(data) > RELAY_BYTES:
            batches.append([])
        batches[-1].append(data)
    return [Relay(votes, i, len(batches), tuple(batch)) for i, batch in enumerate(batches)]
