"""Headers of payloads that no honest peer sends: a proof if they are signed, nothing if they are not."""

from __future__ import annotations

import pytest

from btard.identity import Envelope, MessageKind
from btard.round.actions import Send
from btard.round.messages.accusations import Report
from btard.round.messages.bodies import Aggregate
from tests.btard.round.test_session import LENGTH, PEERS, STATE, committed, message


@pytest.mark.parametrize("kind", [MessageKind.PART, MessageKind.AGGREGATE])
@pytest.mark.parametrize("body", [b"", b"junk"])
def test_unreadable_headers_get_no_buffer_and_are_a_proof(kind: MessageKind, body: bytes) -> None:
    begun, header = committed(), message(1, kind, body)
    assert begun.accept_part(PEERS[1], header, LENGTH) is None
    begun.on_part(PEERS[1], header, STATE)
    (send,) = begun.on_part_failed(1.0, PEERS[1], header)
    assert isinstance(send, Send)
    assert Report.decode(Envelope.decode(send.data).body).attached == (header,)


@pytest.mark.parametrize("kind", [MessageKind.PART, MessageKind.AGGREGATE])
def test_headers_that_nobody_has_signed_prove_nothing(kind: MessageKind) -> None:
    begun = committed()
    for body in (b"junk", Aggregate(STATE).encode() if kind is MessageKind.AGGREGATE else b"more junk"):
        header = message(1, kind, body)[:-64] + bytes(64)
        assert begun.accept_part(PEERS[1], header, LENGTH) is None
        begun.on_part(PEERS[1], header, STATE)
        assert begun.on_part_failed(1.0, PEERS[1], header) == []
