"""The door: which callers are taken in and called back, and that a crowd cannot fill it for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from btard.identity import PeerId
from btard.swarm.door import door as module
from btard.swarm.door.door import KEPT_SECONDS, MOST_AT_DOOR, MOST_GUESTS, Door, call_over
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Knock, Question, Reply, Want
from btard.transport.libp2p import FetchError
from tests.peer.helpers import KEYS, PEERS, TableTransport, run_manifest, signed_manifest

MANIFEST = run_manifest()
MADDR = "/ip4/1.2.3.4/tcp/5"
KNOCK = Knock(run=MANIFEST.run_id, protocol=MANIFEST.protocol, fingerprint=MANIFEST.fingerprint, maddrs=[MADDR])


def stranger(number: int) -> PeerId:
    return PeerId.from_public_key(number.to_bytes(32, "big"))


@dataclass
class Street:
    """What is before a door: a clock, and which peers are connected and answer."""

    now: float = 1000.0
    silent: set[PeerId] = field(default_factory=set)
    connected: set[PeerId] | None = None
    called: list[PeerId] = field(default_factory=list)
    refused: list[tuple[PeerId, str]] = field(default_factory=list)
    hanging: asyncio.Event | None = None

    async def call(self, peer: PeerId) -> str | None:
        self.called.append(peer)
        if self.hanging is not None:
            await self.hanging.wait()
        return "no answer within 3 s" if peer in self.silent else None

    async def connections(self) -> set[PeerId] | None:
        return self.connected

    def door(self, manifest: RunManifest = MANIFEST) -> Door:
        """An open door of two members, one of which bans a third."""
        door = Door(
            manifest,
            self.call,
            self.connections,
            tell=lambda peer, why, _: self.refused.append((peer, why)),
            clock=lambda: self.now,
        )
        door.open(PEERS[:2], PEERS[2:3])
        return door

    async def look(self, door: Door, *, after: float = 0.0) -> None:
        """Let time pass, and all calls that are due end."""
        self.now += after
        quiet, rounds = 0, 0
        while quiet < 3:
            rounds += 1
            assert rounds < 100, "the calls do not end"
            before = len(self.called)
            door.look(self.connected)
            for _ in range(5):
                await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.called) == before else 0


@pytest.fixture
def street() -> Street:
    return Street()


async def test_a_caller_that_answers_the_call_back_waits(street: Street) -> None:
    door = street.door()
    assert door.knock(PEERS[3], KNOCK) is Reply.WAIT
    assert PEERS[3] in door and door.waiting() == {}
    await street.look(door)
    assert door.waiting() == {PEERS[3]: (MADDR,)}
    assert street.called == [PEERS[3]]


async def test_a_caller_that_does_not_answer_is_called_ever_less(street: Street) -> None:
    door = street.door()
    street.silent.add(PEERS[3])
    for _ in range(40):
        door.knock(PEERS[3], KNOCK)
        await street.look(door, after=1.0)
        assert door.waiting() == {}
    assert 4 <= len(street.called) <= 6
    street.silent.clear()
    for _ in range(40):
        door.knock(PEERS[3], KNOCK)
        await street.look(door, after=1.0)
    assert set(door.waiting()) == {PEERS[3]}


async def test_a_waiting_peer_that_stops_answering_is_dropped(street: Street) -> None:
    door = street.door()
    door.knock(PEERS[3], KNOCK)
    await street.look(door)
    street.silent.add(PEERS[3])
    door.knock(PEERS[3], KNOCK)
    await street.look(door, after=KEPT_SECONDS / 2)
    assert door.waiting() == {}


@pytest.mark.parametrize(
    ("peer", "changed", "reply"),
    [
        (PEERS[1], {}, Reply.MEMBER),
        (PEERS[2], {}, Reply.BANNED),
        (PEERS[3], {"run": "ff" * 16}, Reply.OTHER_RUN),
        (PEERS[3], {"protocol": 99}, Reply.OTHER_PROTOCOL),
        (PEERS[3], {"fingerprint": "ab" * 32}, Reply.OTHER_DATA),
    ],
)
async def test_a_refused_caller_is_told_why(
    street: Street, peer: PeerId, changed: dict[str, Any], reply: Reply
) -> None:
    door = street.door()
    assert door.knock(peer, KNOCK.model_copy(update=changed)) is reply
    assert peer not in door
    assert street.refused == ([(peer, reply.words)] if reply is not Reply.MEMBER else [])


async def test_a_client_is_taken_in_while_there_is_room_for_one(street: Street) -> None:
    door, client = street.door(), KNOCK.model_copy(update={"client": True})
    for members, clients, reply in ((5, 2, Reply.WAIT), (4, 2, Reply.TOO_MANY_CLIENTS), (0, 0, Reply.WAIT)):
        door.open([stranger(number) for number in range(members)], (), clients)
        assert door.knock(PEERS[3], client) is reply
        assert door.knock(PEERS[3], KNOCK) is Reply.WAIT
    assert "half of the members are clients" in Reply.TOO_MANY_CLIENTS.words


async def test_a_caller_comes_as_what_it_has_said_last(street: Street) -> None:
    door, client = street.door(), KNOCK.model_copy(update={"client": True})
    door.knock(PEERS[3], client)
    door.knock(PEERS[4], KNOCK)
    assert door.clients() == {PEERS[3]}


async def test_a_closed_door_sends_everybody_elsewhere(street: Street) -> None:
    door = street.door()
    door.close()
    assert door.knock(PEERS[3], KNOCK) is Reply.ELSEWHERE and PEERS[3] not in door


async def test_new_members_and_banned_peers_leave_the_door(street: Street) -> None:
    door = street.door()
    for peer in PEERS[3:5]:
        door.knock(peer, KNOCK)
    await street.look(door)
    door.open((*PEERS[:2], PEERS[3]), (PEERS[4],))
    assert door.waiting() == {}


async def test_a_forgotten_caller_must_knock_again(street: Street) -> None:
    door = street.door()
    door.knock(PEERS[3], KNOCK)
    await street.look(door)
    door.forget(PEERS[3])
    assert door.waiting() == {} and PEERS[3] not in door
    door.knock(PEERS[3], KNOCK)
    await street.look(door)
    assert set(door.waiting()) == {PEERS[3]}


async def test_a_key_that_does_not_knock_again_is_forgotten(street: Street) -> None:
    door = street.door()
    door.knock(PEERS[3], KNOCK)
    await street.look(door, after=KEPT_SECONDS - 1)
    assert PEERS[3] in door
    door.knock(PEERS[3], KNOCK)
    await street.look(door, after=KEPT_SECONDS - 1)
    assert PEERS[3] in door
    await street.look(door, after=2)
    assert PEERS[3] not in door


async def test_only_connected_callers_are_called_back(street: Street) -> None:
    door = street.door()
    street.connected = {PEERS[4]}
    for peer in PEERS[3:5]:
        door.knock(peer, KNOCK)
    await street.look(door)
    assert street.called == [PEERS[4]]
    await street.look(door, after=10)
    assert PEERS[3] not in door and PEERS[4] in door


async def test_few_of_a_crowd_may_use_the_dht(street: Street) -> None:
    door = street.door()
    for number in range(40):
        street.now += 0.1
        door.knock(stranger(number), KNOCK)
    assert not any(door.is_guest(stranger(number)) for number in range(40))
    await street.look(door)
    guests = [stranger(number) for number in range(40) if door.is_guest(stranger(number))]
    assert len(guests) == MOST_GUESTS
    street.silent = set(guests)
    door.knock(PEERS[3], KNOCK)
    await street.look(door, after=30)
    assert not any(door.is_guest(peer) for peer in guests)
    door.knock(PEERS[4], KNOCK)
    await street.look(door)
    assert door.is_guest(PEERS[4])


async def test_a_crowd_is_kept_within_bounds(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AT_DOOR", 50)
    door = street.door()
    replies = []
    for number in range(500):
        street.now += 0.1
        replies.append(door.knock(stranger(number), KNOCK))
    kept = [number for number in range(500) if stranger(number) in door]
    assert len(kept) == 50 < MOST_AT_DOOR
    assert replies.count(Reply.BUSY) > 200
    # Neither the first nor the last to come: a secret decides.
    assert min(kept) < 250 < max(kept)


async def test_the_places_of_a_crowd_change_so_all_get_a_chance(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AT_DOOR", 4)
    monkeypatch.setattr(module, "_SECRET_LIFETIME_SECONDS", 10.0)
    door = street.door()
    crowd = [stranger(number) for number in range(12)]
    seen: set[PeerId] = set()
    for _ in range(500):
        for peer in (*crowd, PEERS[3]):
            door.knock(peer, KNOCK)
        seen.update(peer for peer in (*crowd, PEERS[3]) if peer in door)
        if len(seen) == 13:
            break
        await street.look(door, after=11)
    assert seen == {*crowd, PEERS[3]}


async def test_two_doors_keep_others_of_the_same_crowd(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AT_DOOR", 20)
    kept = []
    for _ in range(2):
        door = street.door()
        for number in range(200):
            street.now += 0.1
            door.knock(stranger(number), KNOCK)
        kept.append({number for number in range(200) if stranger(number) in door})
    assert kept[0] != kept[1]


async def test_new_keys_are_rationed_but_waiting_ones_always_heard(street: Street) -> None:
    door = street.door()
    door.knock(PEERS[3], KNOCK)
    replies = [door.knock(stranger(number), KNOCK) for number in range(200)]
    assert replies.count(Reply.WAIT) < 70 and replies[-1] is Reply.BUSY
    street.now += 0.9
    assert door.knock(PEERS[3], KNOCK.model_copy(update={"maddrs": []})) is Reply.WAIT
    assert door.knock(PEERS[4], KNOCK) is Reply.WAIT
    await street.look(door)
    assert door.waiting()[PEERS[3]] == ()


async def test_few_are_called_at_a_time(street: Street) -> None:
    door = street.door()
    street.hanging = asyncio.Event()
    for number in range(60):
        street.now += 0.1
        door.knock(stranger(number), KNOCK)
    await street.look(door)
    assert len(street.called) == len(set(street.called)) == 32
    street.hanging.set()
    await street.look(door)
    assert len(door.waiting()) == 60


async def test_a_mute_crowd_does_not_stand_before_an_honest_newcomer(street: Street) -> None:
    door = street.door()
    crowd = [stranger(number) for number in range(300)]
    street.silent = set(crowd)
    for _ in range(8):
        for peer in crowd:
            door.knock(peer, KNOCK)
        await street.look(door, after=1.0)
    assert len(street.called) >= 300
    street.called.clear()
    street.hanging = asyncio.Event()
    door.knock(PEERS[3], KNOCK)
    street.now += 40
    door.look(None)
    await asyncio.sleep(0)
    assert PEERS[3] in street.called, "it has never failed, so it comes before those that have"
    street.hanging.set()
    await street.look(door)


async def test_the_loop_calls_until_it_is_ended(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_PERIOD_SECONDS", 0.001)
    door = street.door()
    street.connected = {PEERS[3]}
    running = asyncio.ensure_future(door.run())
    door.knock(PEERS[3], KNOCK)
    async with asyncio.timeout(60):
        while not door.waiting():  # noqa: ASYNC110 - the loop under test sets no event
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_only_the_manifest_of_this_run_is_the_right_answer() -> None:
    body = MANIFEST.model_dump_json().encode()
    mine = signed_manifest(KEYS[0], body).encode()
    transport: Any = TableTransport(
        {PEERS[0]: mine, PEERS[1]: mine[:-1], PEERS[2]: mine + b"x", PEERS[3]: FetchError("the peer has no answer")}
    )
    assert await call_over(transport, mine, PEERS[0]) is None
    assert await call_over(transport, mine, PEERS[1]) == "it answers with another manifest"
    assert "bytes where at most" in str(await call_over(transport, mine, PEERS[2]))
    assert await call_over(transport, mine, PEERS[3]) == "the peer has no answer"
    assert {Question.decode(request).want for _, request, _ in transport.asked} == {Want.MANIFEST}


async def test_the_door_of_a_closed_run_knows_its_list(street: Street) -> None:
    door = street.door(run_manifest(members=tuple(sorted(map(str, PEERS[:4])))))
    assert door.knock(PEERS[3], KNOCK) is Reply.WAIT
    assert door.knock(PEERS[4], KNOCK) is Reply.NOT_LISTED
    await street.look(door)
    assert street.called == [PEERS[3]] and list(door.waiting()) == [PEERS[3]]
    assert street.refused == [(PEERS[4], "its key is not on the run's list of members")]
