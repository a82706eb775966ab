"""The newest roster: published at once, renewed, and tried again when the DHT fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from btard.coordinator.network import publisher as module
from btard.coordinator.network.publisher import Publisher
from btard.identity import MessageKind
from btard.round.roster import Roster
from btard.swarm.records.record import RosterRecord
from tests.coordinator.swarm import MemoryNetwork, identity, ids, manifest, roster, until

RUN = manifest()
KEY = identity(0)


@pytest.fixture
async def network() -> MemoryNetwork:
    return MemoryNetwork(RUN)


@pytest.fixture
async def publisher(network: MemoryNetwork) -> AsyncIterator[Publisher]:
    publisher = Publisher(network, KEY, RUN)
    task = asyncio.ensure_future(publisher.run())
    yield publisher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def published(network: MemoryNetwork) -> RosterRecord:
    envelope = network.records[MessageKind.GENESIS][KEY.peer_id]
    return RosterRecord.read(envelope, RUN.run, MessageKind.GENESIS)


async def test_each_roster_is_published_at_once(network: MemoryNetwork, publisher: Publisher) -> None:
    for step, finished in ((0, False), (4, False), (4, True)):
        publisher.announce(roster(step, 1, 2), finished=finished)
        assert await publisher.flush(5)
        assert published(network).unpack() == roster(step, 1, 2)
        assert published(network).finished is finished


async def test_failures_are_tried_again(
    network: MemoryNetwork, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    network.failing = 3
    publisher.announce(roster(0, 1))
    assert await publisher.flush(5)
    assert published(network).unpack().step == 0


@pytest.fixture
def _renewed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD_SECONDS", 0.01)


@pytest.mark.usefixtures("_renewed_soon")
async def test_records_are_renewed(network: MemoryNetwork, publisher: Publisher) -> None:
    publisher.announce(roster(0, 1))
    assert await publisher.flush(5)
    for _ in range(3):
        network.records.clear()
        await until(lambda: len(network.records) == 1)


async def test_a_roster_that_fits_no_record_leaves_the_last_one(network: MemoryNetwork, publisher: Publisher) -> None:
    publisher.announce(roster(0, 1))
    assert await publisher.flush(5)
    publisher.announce(Roster(1, ids(*range(1, 400)), frozenset(), bytes(32)))
    assert published(network).unpack().step == 0


async def test_settling_is_bounded(network: MemoryNetwork, publisher: Publisher) -> None:
    network.failing = 10**6
    publisher.announce(roster(0, 1))
    assert not await publisher.flush(0.01)
