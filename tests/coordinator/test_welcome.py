"""Who makes the first roster, who does not, and that a flood of made-up peers keeps nobody out."""

from __future__ import annotations

import asyncio

import pytest

from btard.identity import Envelope, MessageKind
from btard.round.roster import first_randomness
from coordinator import welcome as module
from coordinator.welcome import MAX_REFUSALS, Welcome
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MemoryNetwork, identity, ids, manifest, until

RUN = manifest()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.005)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(RUN)


async def test_the_first_roster(network: MemoryNetwork, log: Log) -> None:
    waiting = asyncio.ensure_future(Welcome(network, RUN, log).first_roster())
    network.join(5)
    await until(lambda: log.named("welcomed"))
    network.join(2)
    roster = await asyncio.wait_for(waiting, 5)
    assert (roster.step, roster.members, roster.banned) == (0, ids(2, 5), frozenset())
    assert roster.randomness == first_randomness(RUN.seed, 0)
    assert [entry["count"] for entry in log.named("welcomed")] == [1, 2]


async def test_a_resumed_run_begins_at_its_step(log: Log) -> None:
    run = manifest(start_step=50, state_digest="00" * 32)
    network = MemoryNetwork(run)
    network.join(1)
    network.join(2)
    roster = await asyncio.wait_for(Welcome(network, run, log).first_roster(), 5)
    assert (roster.step, roster.randomness) == (50, first_randomness(7, 50))


async def test_more_than_enough_peers(network: MemoryNetwork, log: Log) -> None:
    for number in range(1, 6):
        network.join(number)
    roster = await asyncio.wait_for(Welcome(network, RUN, log).first_roster(), 5)
    assert len(roster.members) == RUN.peers


async def test_refused_once_each_with_the_reason(network: MemoryNetwork, log: Log) -> None:
    network.join(1, fingerprint="cd" * 32)
    network.join(2, age=1e4)
    network.unreachable.add(network.join(3))
    network.join(4, age=-1e4)
    welcome = Welcome(network, RUN, log)
    for _ in range(3):
        await welcome.look()
    reasons = {entry["peer"]: entry["reason"] for entry in log.named("refused")}
    assert len(log.read()) == len(reasons) == 4
    assert reasons[str(identity(1).peer_id)] == "it trains on other data"
    assert "old" in reasons[str(identity(2).peer_id)]
    assert "reached" in reasons[str(identity(3).peer_id)]


async def test_who_goes_before_the_start_is_not_counted(network: MemoryNetwork, log: Log) -> None:
    welcome = Welcome(network, RUN, log)
    gone = network.join(1)
    await welcome.look()
    network.unreachable.add(gone)
    network.join(2)
    await welcome.look()
    network.join(3)
    assert (await asyncio.wait_for(welcome.first_roster(), 5)).members == ids(2, 3)


async def test_hostile_records_are_passed_over(network: MemoryNetwork, log: Log) -> None:
    bodies = [b"", b"\xff" * 100, b"[" * 20000, b'{"fingerprint": 1}', b"x" * 30000]
    for number, body in enumerate(bodies, 1):
        network.put(
            Envelope.sign(identity(number), run=RUN.run, step=0, kind=MessageKind.JOIN, body=body),
        )
    welcome = Welcome(network, RUN, log)
    await welcome.look()
    assert log.read() == []


async def test_a_flood_keeps_nobody_out_and_is_told_within_bounds(
    network: MemoryNetwork, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REFUSALS", 50)
    for number in range(10, 210):
        network.unreachable.add(network.join(number))
    network.join(1)
    network.join(2)
    roster = await asyncio.wait_for(Welcome(network, RUN, log).first_roster(), 10)
    assert roster.members == ids(1, 2)
    assert len(log.named("refused")) <= 50 < MAX_REFUSALS
