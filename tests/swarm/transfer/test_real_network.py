"""A state from several peers over real streams, one of which lies: all but the newcomer serve as daemons do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from btard.hashing import Payload
from btard.identity import PeerId
from btard.outline import CHUNK_BYTES, Outline, Outlined
from btard.swarm.questions import Question, Want, is_large
from btard.swarm.transfer.download import download_state
from tests.btard.transport.libp2p.conftest import Swarm
from tests.btard.transport.libp2p.conftest import swarm as swarm

STATE = Outlined.of(os.urandom(5 * CHUNK_BYTES - 1))


async def honest(peer: PeerId, request: bytes) -> Payload | None:
    """Answer as a peer that has the state."""
    question = Question.decode(request)
    return STATE.outline.encode() if question.want is Want.STATE else STATE.chunk(question.chunk)


async def lying(peer: PeerId, request: bytes) -> Payload | None:
    """Answer with the true outline, and with other bytes."""
    question = Question.decode(request)
    return STATE.outline.encode() if question.want is Want.STATE else bytes(CHUNK_BYTES)


@pytest.mark.swarm
async def test_strangers_fetch_a_state_from_three_of_which_one_lies(
    swarm: Swarm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers have one slot each at a server: a chunk that is not yet counted as read costs them a pause only."""
    servers = []
    for serve in (lying, honest, honest):
        node, _ = await swarm.node(*servers, serve=serve)
        node.transport.serve_with(serve, is_large)
        servers.append(node)
    newcomer, _ = await swarm.node(*servers)
    loaded: list[Payload] = []

    async def load(data: Payload) -> bytes:
        loaded.append(data)
        return Outline.of([data]).digest

    server = await download_state(
        newcomer.transport,
        [node.peer_id for node in servers],
        Question(want=Want.STATE, step=5),
        load,
        STATE.outline.digest,
        arriving=tmp_path / "arriving.state",
        limit=len(STATE.data),
        timeout_seconds=60.0,
    )
    assert server in {node.peer_id for node in servers[1:]}
    assert loaded == [STATE.data]
    assert f"{servers[0].peer_id.short} serves a chunk that is not of the state" in caplog.text
    assert not (tmp_path / "arriving.state").exists()
