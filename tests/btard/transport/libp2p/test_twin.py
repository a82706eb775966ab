"""A key that is in use elsewhere is noticed at start; what a peer that is gone has left is none."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from btard.transport.libp2p import KeyInUse, Libp2pNode
from btard.transport.libp2p.twin import refuse_twin
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
    monkeypatch.setattr("btard.transport.libp2p.twin._HERE_TIMEOUT", 0.5)
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
    a, _ = await swarm.node()
    await a.close()
    key = tmp_path / "own.key"
    await refuse_twin(key, a.maddrs)
    shutil.copy(swarm.nodes[0]._daemon.directory if swarm.nodes else tmp_path / "peer0.key", key)
    await refuse_twin(key, ())
    await refuse_twin(key, a.maddrs, timeout=5)


async def test_a_visitor_that_lies_about_a_key_finds_nobody(swarm: Swarm) -> None:
    """Whoever asks about a key that is not connected gets a no, and nobody is dialled for it."""
    a, _ = await swarm.node()
    b, _ = await swarm.node()
    assert b.peer_id not in await a.control.connected(5)
    c, _ = await swarm.node(a)
    assert await a.control.connected(5) == {c.peer_id}
