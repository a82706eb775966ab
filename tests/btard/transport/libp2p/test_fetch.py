"""Requests with big answers: caps, refusals, deadlines, bounded concurrency."""

from __future__ import annotations

import asyncio
import os

import pytest

from btard.identity import PeerId
from btard.transport.base import PeerAddress
from btard.transport.libp2p import FetchError, Limits
from tests.btard.transport.libp2p.conftest import Swarm, until

BLOB = os.urandom(12 << 20)


async def answer(peer: PeerId, request: bytes) -> bytes | None:
    if request == b"hang":
        await asyncio.Event().wait()
    if request == b"bug":
        raise ZeroDivisionError
    return {b"blob": BLOB, b"empty": b""}.get(request)


async def test_answers_come_whole_or_not_at_all(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer)
    b, _ = await swarm.node(a)
    fetch = b.transport.fetch
    assert await fetch(a.peer_id, b"blob", limit=len(BLOB), timeout_seconds=10) == BLOB
    assert await fetch(a.peer_id, b"empty", limit=0, timeout_seconds=10) == b""
    with pytest.raises(FetchError, match="at most"):
        await fetch(a.peer_id, b"blob", limit=len(BLOB) - 1, timeout_seconds=10)
    with pytest.raises(FetchError, match="no answer"):
        await fetch(a.peer_id, b"unknown", limit=10, timeout_seconds=10)
    with pytest.raises(FetchError, match="no answer"):
        await fetch(a.peer_id, b"bug", limit=10, timeout_seconds=10)
    with pytest.raises(FetchError, match="no answer"):
        await a.transport.fetch(b.peer_id, b"blob", limit=10, timeout_seconds=10)


async def test_a_peer_is_dialled_where_it_is_remembered_to_be(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer)
    b, _ = await swarm.node()
    with pytest.raises(FetchError):
        await b.transport.fetch(a.peer_id, b"empty", limit=10, timeout_seconds=10)
    b.transport.remember(PeerAddress(a.peer_id, a.maddrs))
    assert await b.transport.fetch(a.peer_id, b"empty", limit=10, timeout_seconds=10) == b""
    nobody = PeerId.from_public_key(bytes(32))
    b.transport.remember(PeerAddress(nobody, ("/ip4/127.0.0.1/tcp/1",)))
    with pytest.raises(FetchError):
        await b.transport.fetch(nobody, b"empty", limit=10, timeout_seconds=10)


async def test_deadlines_and_concurrency_are_bounded(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(serves_per_peer=1, serve_timeout=1))
    b, _ = await swarm.node(a)
    hanging = asyncio.create_task(b.transport.fetch(a.peer_id, b"hang", limit=10, timeout_seconds=10))
    await until(lambda: a.transport.serving)
    with pytest.raises(FetchError, match="busy"):
        await b.transport.fetch(a.peer_id, b"empty", limit=10, timeout_seconds=10)
    with pytest.raises(FetchError, match="no answer"):
        await hanging
    with pytest.raises(FetchError, match="within"):
        await b.transport.fetch(a.peer_id, b"hang", limit=10, timeout_seconds=0.2)
    await until(lambda: not a.transport.serving)
    assert await b.transport.fetch(a.peer_id, b"blob", limit=len(BLOB), timeout_seconds=10) == BLOB


async def test_an_unreachable_peer_is_an_error_in_time(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    peer = b.peer_id
    await b.close()
    with pytest.raises(FetchError):
        await a.transport.fetch(peer, b"blob", limit=10, timeout_seconds=3)
