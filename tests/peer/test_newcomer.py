"""A newcomer of a real swarm while strangers crowd at every door: it gets in by one member's address alone."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from btard.identity import PeerId
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Knock, Question, Want
from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.discover import split_maddr
from btard.transport.libp2p.incoming import FETCH_PROTOCOL
from btard.transport.libp2p.outgoing import expect_nothing
from btard.transport.libp2p.pipe import StreamLost
from tests.ending import end_all
from tests.peer.test_daemon import DEADLINE, Program, events, steps

STRANGERS = 6


async def eventually(condition: Callable[[], Any], *programs: Program) -> Any:
    """Wait until the condition gives something; fails with the programs' last words when that takes too long."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not (found := condition()):  # noqa: ASYNC110 - other processes' doing
                await asyncio.sleep(0.1)
            return found
    except TimeoutError:
        raise AssertionError("\n".join(program.log.read_text()[-2000:] for program in programs)) from None


class Crowd:
    """Keys that knock at doors again and again, answer nothing when they are called, and leave streams half open."""

    def __init__(self, directory: Path, manifest: RunManifest, doors: list[str]) -> None:
        self._directory = directory
        self._doors = [split_maddr(door) for door in doors]
        knock = Knock(run=manifest.run_id, protocol=manifest.protocol, fingerprint=manifest.fingerprint, maddrs=[])
        request = Question(want=Want.KNOCK, knock=knock).encode()
        self._knock = struct.pack(">I", len(request)) + request
        self.knocks = 0
        self.called = 0

    @asynccontextmanager
    async def crowding(self) -> AsyncIterator[None]:
        """Crowd at the doors as long as the context lasts."""
        daemons = [
            await Daemon.start(self._directory / f"stranger{i}.key", host_maddrs=["/ip4/127.0.0.1/tcp/0"])
            for i in range(STRANGERS)
        ]
        listeners = []
        tasks: list[asyncio.Task[None]] = []
        try:
            for daemon in daemons:
                path = daemon.directory / "mute.sock"
                listeners.append(await asyncio.start_unix_server(self._mute, str(path)))
                await daemon.control.register([FETCH_PROTOCOL], path, 10)
                for peer, address in self._doors:
                    await daemon.control.connect(peer, [address], 10)
                    tasks.append(asyncio.create_task(self._harass(daemon, peer, self._knock)))
                    tasks.append(asyncio.create_task(self._harass(daemon, peer, self._knock[:-1])))
            yield
        finally:
            await end_all(tasks)
            for listener in listeners:
                listener.close()
            for daemon in daemons:
                await daemon.stop()

    async def _mute(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called += 1
        await reader.read()
        writer.close()

    async def _harass(self, daemon: Daemon, door: PeerId, request: bytes) -> None:
        while True:
            try:
                pipe = await daemon.control.open_stream(door, FETCH_PROTOCOL, expect_nothing, 10)
                await pipe.write(request, 10)
                self.knocks += 1
                await asyncio.sleep(0.05)
                if request == self._knock:
                    pipe.abort()
            except (DaemonError, StreamLost):
                await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.swarm
async def test_a_newcomer_joins_while_a_crowd_is_at_all_doors(tmp_path: Path) -> None:
    programs: list[Program] = []

    def start(name: str, program: str, *words: str) -> Program:
        directory = ("--host", "127.0.0.1", "--directory", tmp_path / name)
        made = Program(tmp_path / f"{name}.log", program, *directory, *words)
        programs.append(made)
        return made

    def said(program: Program, name: str) -> list[dict[str, Any]]:
        return [event for event in events(program.log.with_suffix("")) if event["event"] == name]

    try:
        run = "--experiment test --task digits --size tiny --dht-port 0 --peers 3 --total-steps 100000 --probation 2"
        coordinator = start("coordinator", "btard-coordinator", *run.split())
        (started,) = await eventually(lambda: said(coordinator, "started"), coordinator)
        address = next(maddr for maddr in started["addresses"] if "/127.0.0.1/" in maddr)
        members = [start(name, "btard-peer", "--initial-peers", address, "--threads", "1") for name in "abc"]
        await eventually(lambda: all(len(steps(tmp_path / name)) > 2 for name in "abc"), *programs)
        book = tmp_path / "coordinator" / "addresses.json"
        doors = await eventually(lambda: len(known := json.loads(book.read_text())) >= 3 and known, coordinator)
        own = {
            peer: next(door for door in doors if split_maddr(door)[0] == peer) for peer, _ in map(split_maddr, doors)
        }
        manifest = RunManifest.model_validate_json((tmp_path / "coordinator" / "manifest.json").read_bytes())
        crowd = Crowd(tmp_path, manifest, [*own.values(), address])
        async with crowd.crowding():
            await eventually(lambda: crowd.called > STRANGERS and crowd.knocks > 100, *members)
            newcomer = start("d", "btard-peer", "--initial-peers", next(iter(own.values())), "--threads", "1")
            await eventually(lambda: len(steps(tmp_path / "d")) > 3, newcomer, *members)
            joined = said(newcomer, "joined")[0]
            assert len(joined["members"]) == 4 and joined["banned"] == []
            assert all(said(member, "admitted") for member in members)
            assert len({event["peer"] for member in members for event in said(member, "admitted")}) == 1
    finally:
        codes = [program.end() for program in reversed(programs)]
    assert codes == [130] * len(programs)
    assert "Traceback" not in "".join(program.log.read_text() for program in programs)
