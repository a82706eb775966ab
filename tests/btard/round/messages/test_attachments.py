"""What reports and relays carry of the messages of others: in bounded portions, each verified once."""

from __future__ import annotations

import dataclasses

import pytest

from btard.identity import Malformed, MessageKind
from btard.round.messages.accusations import MAX_RELAYED, Relay
from btard.round.messages.attachments import Papers, relays
from tests.btard.round.settlement import E, commit, signed

MOST = 1 << 16


def test_relays_are_bounded_and_carry_every_report() -> None:
    reports = [signed(i % 5, MessageKind.REPORT, bytes(MOST // 3)) for i in range(10)]
    messages = relays(reports, votes=False, most=MOST)
    assert [(message.index, message.total) for message in messages] == [(i, len(messages)) for i in range(5)]
    assert [data for message in messages for data in message.envelopes] == [envelope.encode() for envelope in reports]
    assert all(sum(map(len, message.envelopes)) <= MOST for message in messages)
    assert relays([], votes=True, most=MOST) == [Relay(True, 0, 1, ())]


def test_a_report_longer_than_a_relay_travels_alone() -> None:
    reports = [signed(i, MessageKind.REPORT, bytes(size)) for i, size in enumerate((10, MOST + 1, 10))]
    assert [len(message.envelopes) for message in relays(reports, votes=False, most=MOST)] == [1, 1, 1]


def test_a_relay_carries_no_more_messages_than_can_be_read() -> None:
    messages = relays([commit(1)] * (MAX_RELAYED + 1), votes=False, most=1 << 30)
    assert [len(message.envelopes) for message in messages] == [MAX_RELAYED, 1]


def test_what_is_carried_again_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    papers, genuine = Papers(), commit(1).encode()
    forged = dataclasses.replace(commit(2), body=E).encode()
    assert papers.read(genuine) == commit(1)
    with pytest.raises(Malformed):
        papers.read(forged)
    monkeypatch.setattr("btard.identity.peer_id.crypto_sign_open", None)
    assert papers.read(bytes(bytearray(genuine))) is papers.read(genuine)
    with pytest.raises(Malformed):
        papers.read(forged)
