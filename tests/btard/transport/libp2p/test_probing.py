"""The AutoNAT messages: what is asked, and that no bytes of a stranger are more than an answer or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.transport.libp2p.probing import DialBack, Reach, dial_request, read_dial_response
from tests.btard.round.swarm import keys

(KEY,) = keys(1)


def response(status: int, text: bytes = b"") -> bytes:
    """A DIAL_RESPONSE as p2pd writes it."""
    varint = bytes([status]) if status < 128 else bytes([status & 0x7F | 0x80, status >> 7])
    inner = b"\x08" + varint + (b"\x12" + bytes([len(text)]) + text if text else b"")
    return b"\x08\x01\x1a" + bytes([len(inner)]) + inner


def test_a_request_names_the_peer_and_its_addresses() -> None:
    request = dial_request(KEY.peer_id, ["/ip4/1.2.3.4/tcp/5"])
    address = bytes([4, 1, 2, 3, 4, 6, 0, 5])
    peer = b"\x0a" + bytes([38]) + bytes(KEY.peer_id) + b"\x12" + bytes([len(address)]) + address
    dial = b"\x0a" + bytes([len(peer)]) + peer
    assert request == b"\x08\x00\x12" + bytes([len(dial)]) + dial


@pytest.mark.parametrize(
    ("status", "reach"),
    [(0, Reach.REACHED), (100, Reach.UNREACHED), (101, Reach.REFUSED), (200, Reach.NOT_OFFERED)],
)
def test_an_answer(status: int, reach: Reach) -> None:
    assert read_dial_response(response(status, b"why")) == DialBack(reach, "why")


@pytest.mark.parametrize("data", [b"", b"\x08\x01", b"\x1a\x05\x08", b"\xff" * 20, b"\x0d\x00\x00\x00\x00"])
def test_no_answer(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_dial_response(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for message in (data, b"\x1a" + bytes([min(len(data), 127)]) + data[:127]):
        try:
            answer = read_dial_response(message)
        except ValueError:
            continue
        assert isinstance(answer.reach, Reach) and len(answer.words) <= 300
