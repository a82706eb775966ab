"""The first roster: which peers are in it, which are not, and that a flood of made-up peers keeps nobody out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from btard.coordinator.run import welcome as module
from btard.coordinator.run.welcome import MAX_REFUSALS, Welcome
from btard.round.roster import Roster, first_randomness
from btard.swarm.door import door
from btard.swarm.questions import Reply
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MemoryNetwork, identity, ids, knock, manifest, until

RUN = manifest()
KNOCK = knock(RUN)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(module, "TELL_PERIOD_SECONDS", 0.02)
    monkeypatch.setattr(door, "LOOK_PERIOD_SECONDS", 0.005)
    monkeypatch.setattr(door, "_NEW_A_SECOND", 10_000)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(RUN)


@pytest.fixture
async def welcome(network: MemoryNetwork, log: Log) -> AsyncIterator[Welcome]:
    """A welcome whose door is open, and whose first roster is waited for."""
    made = Welcome(network, RUN, log)
    waiting = asyncio.ensure_future(made.first_roster())
    made.forming = waiting  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    yield made
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def formed(welcome: Welcome) -> Roster:
    roster: Roster = await asyncio.wait_for(welcome.forming, 10)  # type: ignore[attr-defined]
    return roster


async def test_the_first_roster(welcome: Welcome, log: Log) -> None:
    assert welcome.door.knock(identity(5).peer_id, KNOCK) is Reply.WAIT
    await until(lambda: log.named("welcomed"))
    welcome.door.knock(identity(2).peer_id, KNOCK)
    roster = await formed(welcome)
    assert (roster.step, roster.members, roster.banned) == (0, ids(2, 5), frozenset())
    assert roster.randomness == first_randomness(RUN.seed, 0)
    assert [entry["count"] for entry in log.named("welcomed")] == [1, 2]
    assert welcome.door.knock(identity(3).peer_id, KNOCK) is Reply.ELSEWHERE


async def test_how_many_are_here_is_told_again_and_again(
    welcome: Welcome, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await until(lambda: "waiting for the first roster: 0 of 2 are here" in caplog.text)
    welcome.door.knock(identity(5).peer_id, KNOCK)
    await until(lambda: caplog.text.count("waiting for the first roster: 1 of 2 is here") > 1)
    welcome.door.forget(identity(5).peer_id)
    await until(lambda: log.named("awaited"))
    assert [(entry["here"], entry["wanted"]) for entry in log.named("awaited")] == [(0, 2)], "a welcome told of the one"
    for number in (2, 3):
        welcome.door.knock(identity(number).peer_id, KNOCK)
    await formed(welcome)
    assert "2 of 2" not in caplog.text.replace("(2 of 2)", ""), "nothing is waited for any more"


async def test_a_resumed_run_begins_at_its_step(log: Log) -> None:
    run = manifest(start_step=50, state_digest="00" * 32)
    welcome = Welcome(MemoryNetwork(run), run, log)
    forming = asyncio.ensure_future(welcome.first_roster())
    await asyncio.sleep(0)
    for number in (1, 2):
        welcome.door.knock(identity(number).peer_id, knock(run))
    roster = await asyncio.wait_for(forming, 10)
    assert (roster.step, roster.randomness) == (50, first_randomness(7, 50))


async def test_more_than_enough_peers(welcome: Welcome) -> None:
    for number in range(1, 6):
        welcome.door.knock(identity(number).peer_id, KNOCK)
    assert len((await formed(welcome)).members) == RUN.peers


async def test_at_most_half_of_the_first_roster_are_clients(welcome: Welcome, log: Log) -> None:
    for number in (1, 2):
        welcome.door.knock(identity(number).peer_id, KNOCK.model_copy(update={"client": True}))
    await until(lambda: len(log.named("welcomed")) == 2)
    welcome.door.knock(identity(3).peer_id, KNOCK)
    roster = await formed(welcome)
    assert len(roster.members) == RUN.peers == 2 and identity(3).peer_id in roster.members
    assert len(roster.clients) == 1 and roster.voters == {identity(3).peer_id}


async def test_refused_once_each_with_the_reason(network: MemoryNetwork, welcome: Welcome, log: Log) -> None:
    network.unreachable.add(identity(3).peer_id)
    for _ in range(3):
        welcome.door.knock(identity(1).peer_id, knock(RUN, fingerprint="cd" * 32))
        welcome.door.knock(identity(2).peer_id, knock(RUN, protocol=RUN.protocol + 1))
        welcome.door.knock(identity(3).peer_id, KNOCK)
        welcome.door.knock(identity(4).peer_id, knock(RUN, run="22" * 16))
    await until(lambda: len(log.named("refused")) == 4)
    reasons = {entry["peer"]: entry["reason"] for entry in log.named("refused")}
    assert len(log.named("refused")) == len(reasons) == 4
    assert reasons[str(identity(1).peer_id)] == "it trains on other data"
    assert "another version" in reasons[str(identity(2).peer_id)]
    assert "does not answer when it is called back" in reasons[str(identity(3).peer_id)]
    assert "another run" in reasons[str(identity(4).peer_id)]


async def test_a_peer_that_goes_before_the_start_is_not_counted(
    network: MemoryNetwork, welcome: Welcome, log: Log
) -> None:
    gone = identity(1).peer_id
    welcome.door.knock(gone, KNOCK)
    await until(lambda: log.named("welcomed"))
    network.unreachable.add(gone)
    welcome.door.knock(identity(2).peer_id, KNOCK)
    await until(lambda: len(log.named("welcomed")) == 2 and gone not in welcome.door.waiting())
    welcome.door.knock(identity(3).peer_id, KNOCK)
    assert (await formed(welcome)).members == ids(2, 3)


async def test_a_peer_that_goes_at_the_last_moment_is_not_counted(network: MemoryNetwork, log: Log) -> None:
    welcome = Welcome(network, RUN, log)
    welcome.door.open((), ())
    gone = identity(1).peer_id
    for number in (1, 2, 3):
        welcome.door.knock(identity(number).peer_id, KNOCK)
        assert await welcome.door.call_back(identity(number).peer_id)
    network.unreachable.add(gone)
    assert await welcome.look() == ()
    assert set(await welcome.look()) == set(ids(2, 3))


async def test_a_flood_keeps_nobody_out_and_is_told_within_bounds(
    network: MemoryNetwork, welcome: Welcome, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REFUSALS", 50)
    for number in range(10, 510):
        network.unreachable.add(identity(number).peer_id)
        welcome.door.knock(identity(number).peer_id, KNOCK)
    for number in (1, 2):
        welcome.door.knock(identity(number).peer_id, KNOCK)
    assert (await formed(welcome)).members == ids(1, 2)
    assert len(log.named("refused")) <= 50 < MAX_REFUSALS
