"""The life of a node: clear errors, nothing left behind, and a watchdog over p2pd."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from btard.errors import UserError
from btard.transport.libp2p import DaemonError, Libp2pNode, remove_leftovers
from btard.transport.libp2p import node as node_module
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.dht import RecordNode, RecordProtocol
from btard.transport.libp2p.watchdog import Watchdog
from tests.btard.transport.libp2p.conftest import DEADLINE, Swarm, until
from tests.quick import quick


def gone(pid: int) -> bool:
    """Whether a process ended (nobody may reap an orphan's remains in a container)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def sockets(identity: Path) -> list[Path]:
    """The private directory of the peer with this identity, if it exists, and what is in it."""
    directory = Path(json.loads(identity.with_name("key.lock").read_text())["directory"])
    return [directory, *directory.iterdir()] if directory.exists() else []


async def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    node = await Libp2pNode.create(tmp_path / "key")
    left = sockets(tmp_path / "key")
    assert len(left) >= 3
    assert left[0].lstat().st_mode & 0o777 == 0o700
    tasks = asyncio.all_tasks()
    await node.close()
    await node.close()
    assert gone(node.daemon_pid)
    assert not any(map(os.path.exists, left))
    await until(lambda: all(task.done() for task in tasks - {asyncio.current_task()}))


async def test_a_killed_peer_takes_its_daemon_along(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from btard.transport.libp2p import Libp2pNode\n"
        "async def main():\n"
        "    node = await Libp2pNode.create(pathlib.Path(sys.argv[1]))\n"
        "    print(node.daemon_pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    identity = tmp_path / "key"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(identity), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(DEADLINE):
            daemon = int(await child.stdout.readline())
        with pytest.raises(UserError, match="in use"):
            await Libp2pNode.create(identity)
    finally:
        child.kill()
        await child.wait()
    await until(lambda: gone(daemon))
    left = sockets(identity)
    assert left
    remove_leftovers(identity)
    assert not any(map(os.path.exists, left))


async def test_a_node_that_is_answered_late_does_not_stay_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Libp2pNode.create(tmp_path / "first" / "key")
    unanswered = 3
    ping = RecordProtocol.call_ping

    async def busy(protocol: RecordProtocol, *arguments: object, **options: object) -> object:
        nonlocal unanswered
        unanswered -= 1
        return None if unanswered >= 0 else await ping(protocol, *arguments, **options)

    monkeypatch.setattr(RecordProtocol, "call_ping", busy)
    second = await Libp2pNode.create(tmp_path / "second" / "key", first.maddrs)
    try:
        assert unanswered < 0
        assert second.dht.protocol.routing_table.uid_to_peer_id
    finally:
        await second.close()
        await first.close()


async def test_the_end_of_p2pd_is_reported(swarm: Swarm) -> None:
    reasons: list[str] = []
    node, _ = await swarm.node(on_failure=reasons.append)
    os.kill(node.daemon_pid, signal.SIGKILL)
    await until(lambda: reasons)
    assert "signal 9" in reasons[0]
    async with asyncio.timeout(DEADLINE):
        await node.close()


async def test_a_hanging_p2pd_is_reported(swarm: Swarm) -> None:
    reasons: list[str] = []
    node, _ = await swarm.node()
    watchdog = Watchdog(node._daemon, reasons.append, period_seconds=0.05, deadline=0.3, misses=2)
    os.kill(node.daemon_pid, signal.SIGSTOP)
    await until(lambda: reasons)
    assert "does not answer" in reasons[0]
    await watchdog.close()


async def test_a_heartbeat_stops_with_p2pd_and_goes_with_the_node(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = tmp_path / "heartbeat"
    node, _ = await swarm.node()
    missed: list[DaemonError] = []
    identify = node._daemon.control.identify

    async def noted(timeout_seconds: float) -> tuple[bytes, list[str]]:
        try:
            return await identify(timeout_seconds)
        except DaemonError as error:
            missed.append(error)
            raise

    monkeypatch.setattr(node._daemon.control, "identify", noted)
    watchdog = Watchdog(node._daemon, lambda _: None, period_seconds=0.05, deadline=0.3, misses=1000, heartbeat=beat)
    await until(beat.exists)
    os.kill(node.daemon_pid, signal.SIGSTOP)
    await until(lambda: missed)
    os.utime(beat, (0, 0))
    await until(lambda: len(missed) > 2)
    assert beat.stat().st_mtime == 0
    os.kill(node.daemon_pid, signal.SIGCONT)
    await until(lambda: beat.stat().st_mtime > 0)
    await watchdog.close()
    assert not beat.exists()


async def test_an_expected_end_is_not_reported(tmp_path: Path) -> None:
    reasons: list[str] = []
    node = await Libp2pNode.create(tmp_path / "key", on_failure=reasons.append)
    await node.close()
    assert not reasons


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"/tcp/{port} is already in use"):
            await Libp2pNode.create(tmp_path / "key", host_maddrs=[f"/ip4/127.0.0.1/tcp/{port}"])


async def test_the_port_of_another_p2pd_is_in_use(swarm: Swarm, tmp_path: Path) -> None:
    """p2pd itself would share it, and each of the two get some of the connections."""
    a, _ = await swarm.node()
    (maddr,) = [maddr.partition("/p2p/")[0] for maddr in a.maddrs]
    for listen in (maddr, maddr.replace("127.0.0.1", "0.0.0.0")):
        with pytest.raises(UserError, match=f"{listen} is already in use"):
            await Libp2pNode.create(tmp_path / "key", host_maddrs=[listen])
    await a.close()
    b = await Libp2pNode.create(tmp_path / "key", host_maddrs=[maddr])
    await b.close()


async def test_what_p2pd_says_of_a_wrong_key_is_one_line(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node()
    wrong = f"{a.maddrs[0].partition('/p2p/')[0]}/p2p/{b.peer_id}"
    with pytest.raises(UserError, match="mismatch") as caught:
        await Libp2pNode.create(tmp_path / "key", [wrong], startup_timeout_seconds=5)
    assert "\n" not in str(caught.value)


async def test_a_foreign_address_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not have the address"):
        await Libp2pNode.create(tmp_path / "key", host_maddrs=["/ip4/192.0.2.1/tcp/0"])


async def test_an_unreachable_initial_peer_is_one_sentence(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    maddrs = a.maddrs
    await a.close()
    with pytest.raises(UserError, match="no initial peer is reachable"):
        await Libp2pNode.create(tmp_path / "key", maddrs, startup_timeout_seconds=5)
    b, _ = await swarm.node()
    c = await Libp2pNode.create(tmp_path / "key", [*maddrs, *b.maddrs], startup_timeout_seconds=5)
    await c.close()


async def test_an_initial_peer_may_come_late_if_there_is_patience(
    swarm: Swarm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = await swarm.node()
    (maddr,) = a.maddrs
    await a.close()
    joining = asyncio.ensure_future(Libp2pNode.create(tmp_path / "key", [maddr], patience_seconds=DEADLINE))
    await until(lambda: "trying for" in caplog.text)
    again = await Libp2pNode.create(swarm.identities[0], host_maddrs=[maddr.partition("/p2p/")[0]])
    node = await joining
    assert node.records.met == [again.peer_id]
    assert caplog.text.count("trying for") == 1
    await node.close()
    await again.close()


async def test_an_unwritable_identity_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot use the key file"):
        await Libp2pNode.create(tmp_path / "file" / "key")


@pytest.mark.parametrize("stage", quick(2, ["_own_maddrs", "_dial", "_start_dht", "_meet"]))
async def test_a_daemon_that_dies_while_joining_is_told(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """hivemind's calls to a p2pd that has died raise anything, or never return."""
    first, _ = await swarm.node()
    begun = getattr(node_module, stage)
    started: list[Daemon] = []
    start = Daemon.start

    async def remembered(*arguments: Any, **options: Any) -> Daemon:
        started.append(await start(*arguments, **options))
        return started[-1]

    async def dies_first(*arguments: Any, **options: Any) -> Any:
        os.kill(started[-1].pid, signal.SIGKILL)
        return await begun(*arguments, **options)

    monkeypatch.setattr(Daemon, "start", remembered)
    monkeypatch.setattr(node_module, stage, dies_first)
    joining = asyncio.ensure_future(Libp2pNode.create(tmp_path / "key", first.maddrs))
    await asyncio.wait({joining}, timeout=DEADLINE)
    joining.cancel()
    (ended,) = await asyncio.gather(joining, return_exceptions=True)
    said = str(ended) if isinstance(ended, UserError) else repr(ended)
    del joining, ended
    gc.collect()  # what hivemind leaves would be collected while pytest reads sources, which this Python forbids
    assert said.startswith("could not join the swarm") or f"p2pd (pid {started[-1].pid}) was killed" in said
    assert gone(started[-1].pid) and not started[-1].directory.exists()


async def test_a_search_that_fails_ends_nothing(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError  # as hivemind's does when one of its workers has failed

    first, _ = await swarm.node()
    monkeypatch.setattr(RecordNode, "find_nearest_nodes", fail)
    second, _ = await swarm.node(first)
    assert await second.dht.nearest([second.dht.node_id]) == {}
