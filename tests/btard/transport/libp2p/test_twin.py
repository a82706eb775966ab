"""A key that is in use elsewhere is noticed at start; what a peer that is gone has left is none."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2

from btard.transport.libp2p import KeyInUse, Libp2pNode
from btard.transport.libp2p.twin import TwinWatch, refuse_twin
from btard.transport.libp2p.view import attach_p2p
from tests.btard.transport.libp2p.conftest import Swarm


def copied(key: Path, to: Path) -> Path:
    to.mkdir()
    shutil.copy(key, to / key.name)
    return to / key.name


async def test_a_copied_key_is_refused_while_the_other_lives(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    key = tmp_path / "own.key"
    first = await Libp2pNode.create(key, a.maddrs)
    twin = copied(key, tmp_path / "copy")
    try:
        for through in (a, b, first):  # b has met the first one in the DHT
            with pytest.raises(KeyInUse, match="is in use: another process") as caught:
                await Libp2pNode.create(twin, through.maddrs)
            assert "\n" not in str(caught.value) and str(first.peer_id) in str(caught.value)
    finally:
        await first.close()
    again = await Libp2pNode.create(twin, a.maddrs)
    await again.close()


async def test_a_restart_after_a_kill_is_not_refused(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    key = tmp_path / "own.key"
    killed = await Libp2pNode.create(key, a.maddrs)
    port = killed.maddrs[0].split("/p2p/")[0]
    os.kill(killed.daemon_pid, signal.SIGKILL)
    copy = copied(key, tmp_path / "copy")  # another lock: the first process is not gone in this test
    again = await Libp2pNode.create(copy, a.maddrs, host_maddrs=[port])
    await again.close()
    await killed.close()


async def test_a_twin_that_hangs_is_not_waited_for(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a connection that lingers looks to the peer at its other end."""
    monkeypatch.setattr("btard.transport.libp2p.twin._HERE_TIMEOUT_SECONDS", 0.5)
    a, _ = await swarm.node()
    key = tmp_path / "own.key"
    hanging = await Libp2pNode.create(key, a.maddrs)
    os.kill(hanging.daemon_pid, signal.SIGSTOP)
    try:
        await refuse_twin(copied(key, tmp_path / "copy"), a.maddrs)
    finally:
        os.kill(hanging.daemon_pid, signal.SIGCONT)
        await hanging.close()


async def test_without_anybody_to_ask_nothing_is_refused(swarm: Swarm, tmp_path: Path) -> None:
    key = swarm.identity()
    a, _ = await swarm.node()
    b, _ = await swarm.node()
    await b.close()
    await refuse_twin(tmp_path / "missing.key", a.maddrs)
    copy = copied(key, tmp_path / "copy")
    await refuse_twin(copy, ())
    await refuse_twin(copy, b.maddrs)


async def test_a_question_about_a_key_dials_nobody(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node()
    stranger, _ = await swarm.node()
    p2p = await attach_p2p(stranger._daemon)
    await stranger.control.connect(a.peer_id, [maddr.split("/p2p/")[0] for maddr in a.maddrs], 10)
    for raw in (bytes(b.peer_id), b"", b"x" * 1000):
        question = dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=raw))
        stub = TwinWatch.get_stub(p2p, PeerID(bytes(a.peer_id)))
        assert not (await stub.rpc_holds(question, timeout=10)).available
    await p2p.shutdown()
    assert await a.control.connected(5) == {stranger.peer_id}
