"""hivemind's reader of p2pd's answers outlives calls that have been given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from hivemind.proto import p2pd_pb2

from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.view import attach_p2p
from tests.btard.transport.libp2p.conftest import DEADLINE


def answer(call: UUID, payload: bytes) -> bytes:
    """Return p2pd's answer to a call, as it comes on the wire."""
    unary = p2pd_pb2.CallUnaryResponse(response=payload)
    data = p2pd_pb2.PersistentConnectionResponse(callId=call.bytes, callUnaryResponse=unary).SerializeToString()
    assert len(data) < 128
    return bytes([len(data)]) + data


async def test_an_answer_to_a_cancelled_call_ends_nothing(tmp_path: Path) -> None:
    node = await Libp2pNode.create(tmp_path / "key")
    try:
        p2p = await attach_p2p(node._daemon)
        control: Any = p2p._client.control  # type: ignore[union-attr]
        given_up, awaited = uuid4(), uuid4()
        for call in (given_up, awaited):
            control._pending_calls[call] = asyncio.get_running_loop().create_future()
        control._pending_calls[given_up].cancel()
        wire = asyncio.StreamReader()
        wire.feed_data(answer(given_up, b"late") + answer(awaited, b"in time"))
        wire.feed_eof()
        async with asyncio.timeout(DEADLINE):
            await control._read_from_persistent_conn(wire)
            assert await control._pending_calls[awaited] == b"in time"
        await p2p.shutdown()
    finally:
        await node.close()
