"""Following the swarm: only a majority moves the trusted roster, and what changes is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from btard.coordinator.run import follower as module
from btard.coordinator.run.follower import Follower
from btard.swarm.questions import Head
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MADDR, MemoryNetwork, head, identity, ids, manifest, roster
from tests.swarm.chains import chain, history

RUN = manifest(peers=4)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(RUN)


@pytest.fixture
def follower(network: MemoryNetwork, log: Log) -> Follower:
    return Follower(network, RUN, roster(0, 1, 2, 3, 4), log)


async def test_a_majority_moves_it(network: MemoryNetwork, follower: Follower, log: Log) -> None:
    network.stand(head(roster(9, 1, 2, 3, 4)), 1, 2, 3)
    assert await follower.refresh()
    assert follower.trusted.step == 9
    assert log.read() == []  # the same members: no event
    assert not await follower.refresh()


async def test_half_does_not(network: MemoryNetwork, follower: Follower) -> None:
    network.stand(head(roster(9, 1, 2, 3, 4)), 1, 2)
    network.stand(head(roster(8, 1, 2, 3, 4)), 3, 4)
    assert not await follower.refresh()
    assert follower.trusted.step == 0


async def test_changes_of_membership_are_events(network: MemoryNetwork, follower: Follower, log: Log) -> None:
    network.stand(head(roster(3, 1, 2, 5, banned=[3])), 1, 2, 3)
    assert await follower.refresh()
    told = [(entry["event"], entry.get("peer")) for entry in log.read()]
    peers = {number: str(identity(number).peer_id) for number in (3, 4, 5)}
    assert told == [("banned", peers[3]), ("left", peers[4]), ("joined", peers[5]), ("roster", None)]
    assert log.named("roster")[0]["members"] == [str(peer) for peer in ids(1, 2, 5)]
    assert log.named("banned")[0]["step"] == 3


@pytest.mark.parametrize(
    "impossible",
    [roster(101, 1, 2, 3, 4), roster(9), roster(0, 1)],
    ids=["after the end", "nobody", "not later"],
)
async def test_rosters_that_cannot_be(network: MemoryNetwork, follower: Follower, impossible: object) -> None:
    network.stand(head(impossible), 1, 2, 3, 4)  # type: ignore[arg-type]
    assert not await follower.refresh()


async def test_a_ban_is_for_ever(network: MemoryNetwork, follower: Follower) -> None:
    network.stand(head(roster(3, 1, 2, 4, banned=[3])), 1, 2, 4)
    assert await follower.refresh()
    network.stand(head(roster(4, 1, 2, 3, 4)), 1, 2, 4)
    assert not await follower.refresh()


async def test_another_incarnation_may_go_back_but_not_an_old_one(network: MemoryNetwork, follower: Follower) -> None:
    network.stand(head(roster(9, 1, 2, 4, banned=[3])), 1, 2, 4)
    assert await follower.refresh()
    network.stand(replace(head(roster(7, 1, 2, 3, 4)), incarnation=1), 1, 2, 4)
    assert await follower.refresh()
    assert (follower.trusted.step, follower.incarnation) == (7, 1)
    network.stand(head(roster(12, 1, 2, 3, 4)), 1, 2, 4)
    assert not await follower.refresh()


async def test_silence_is_told_once_and_the_lost_are_dialled(
    network: MemoryNetwork, follower: Follower, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_REDIAL_PERIOD_SECONDS", 0.0)
    lost = network.join(1)
    network.join(9)
    for _ in range(3):
        assert not await follower.refresh()
        if follower._redialling is not None:
            await follower._redialling
    assert len(log.named("silent")) == 1
    assert set(network.dialled) == {lost}
    network.stand(head(roster(2, 1, 2, 3, 4)), 1, 2, 3, 4)
    assert await follower.refresh()
    await follower.close()


async def test_a_run_that_waits_says_who_is_missing(
    network: MemoryNetwork, follower: Follower, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Head(roster(0, 1, 2, 3, 4), bytes(32), (), waits=True)
    third, fourth = sorted(str(peer) for peer in ids(3, 4))
    network.stand(waiting, 1, 2)
    for _ in range(2):
        assert not await follower.refresh()
    assert len(follower.waiting) == 2 and log.named("silent") == []
    said = f"step 0 waits for more than half of its 4 voters: 2 are here; missing: {third[-6:]}, {fourth[-6:]};"
    assert caplog.text.count(said) == 1
    assert [(event["voters"], event["missing"]) for event in log.named("paused")] == [(4, [third, fourth])]
    network.stand(head(roster(0, 1, 2, 3, 4)), 1, 2, 3, 4)
    await follower.refresh()
    assert not follower.waiting and len(log.named("went_on")) == 1
    network.stand(waiting, 1)
    await follower.refresh()
    assert len(log.named("paused")) == 1, "one waits to be let in, the others train"
    network.stand(waiting, 2, 3, 4)
    await follower.refresh()
    assert caplog.text.count("4 are here; missing: nobody, but they do not agree yet") == 1
    assert [event["missing"] for event in log.named("paused")] == [[third, fourth], []]


@pytest.mark.parametrize("other_run", [False, True])
async def test_members_that_came_after_all_known_ones_are_found(
    network: MemoryNetwork, log: Log, other_run: bool
) -> None:
    """This coordinator was away while everybody whom it knew has left."""
    rosters = history(20)
    follower = Follower(network, RUN, rosters[0], log)
    later = rosters[-1].members[0]
    rules = replace(RUN.step_rules, nonce=bytes(16)) if other_run else RUN.step_rules
    network.shown_chains = {later: chain(rosters, rosters[0], rules)}
    network.linked = {later}
    assert await follower.refresh() is not other_run
    assert follower.trusted == rosters[0 if other_run else -1]


async def test_no_chain_is_asked_for_while_most_members_are_known(
    network: MemoryNetwork, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.stand(head(roster(9, 1, 2, 3, 4)), 1, 2, 3)
    monkeypatch.setattr(network, "chains", None)
    assert await follower.refresh()


async def test_members_are_dialled_where_others_say_that_they_are(network: MemoryNetwork, follower: Follower) -> None:
    network.stand(head(roster(9, 1, 2, 3, 4)), 1, 2, 3)
    lost = identity(4).peer_id
    network.told = {lost: (MADDR,), identity(9).peer_id: (MADDR,)}
    await follower.refresh()
    assert follower._redialling is not None
    await follower._redialling
    assert network.dialled == [lost]
