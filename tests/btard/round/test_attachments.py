"""What reports and relays carry of the messages of others: signed, of this attempt, and bounded."""

from __future__ import annotations

import dataclasses

from btard.identity import Envelope, MessageKind
from btard.round.accusations import Relay
from btard.round.attachments import RELAY_BYTES, relays, valid_attachments
from btard.round.messages import Commit
from tests.btard.round.settlement import FIVE, KEYS, D, E, commit, leave, part, report, signed


def test_attachments_of_the_same_attempt_count_and_no_others() -> None:
    outer = signed(0, MessageKind.REPORT, b"")
    good = [commit(1), part(2, 0, D), signed(3, MessageKind.AGGREGATE, b""), signed(3, MessageKind.VOTE, b""), leave(4)]
    forged = dataclasses.replace(commit(1), body=Commit(E, E, E, (), E, b"", ()).encode())
    bad = [
        signed(1, MessageKind.COMMIT, commit(1).body, attempt=0),
        signed(1, MessageKind.COMMIT, commit(1).body, step=2),
        Envelope.sign(KEYS[1], run=b"another-run-0000", step=3, attempt=1, kind=MessageKind.DIGEST, body=b""),
        signed(1, MessageKind.PART, b"no header"),
        signed(1, MessageKind.LEAVE, b"no goodbye"),
        signed(7, MessageKind.DIGEST, b"of no member"),
        signed(1, MessageKind.RELAY, b""),
        signed(1, MessageKind.CERTIFICATE, b""),
        signed(1, MessageKind.JOIN, b""),
        forged,
    ]
    data = [b"garbage", *(envelope.encode() for envelope in [*bad, *good]), b""]
    found = valid_attachments(outer, dataclasses.replace(report(), attached=tuple(data)), frozenset(FIVE))
    assert found == good


def test_relays_are_bounded_and_carry_every_report() -> None:
    reports = [signed(i % 5, MessageKind.REPORT, bytes(RELAY_BYTES // 3)) for i in range(10)]
    messages = relays(reports, votes=False)
    assert [(message.index, message.total) for message in messages] == [(i, len(messages)) for i in range(5)]
    assert [data for message in messages for data in message.envelopes] == [envelope.encode() for envelope in reports]
    assert all(sum(map(len, message.envelopes)) <= RELAY_BYTES for message in messages)
    assert relays([], votes=True) == [Relay(True, 0, 1, ())]


def test_a_report_longer_than_a_relay_travels_alone() -> None:
    reports = [signed(i, MessageKind.REPORT, bytes(size)) for i, size in enumerate((10, RELAY_BYTES + 1, 10))]
    assert [len(message.envelopes) for message in relays(reports, votes=False)] == [1, 1, 1]
