"""Neighbours: where the members are, which peers the DHT serves, and which of those at the door a member names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from btard.identity import Envelope, MessageKind, PeerId
from btard.peer.meeting import neighbours as module
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.neighbours import Neighbours
from btard.peer.meeting.rosters import Rosters
from btard.round.messages.bodies import NOBODY
from btard.swarm.door.door import Door
from btard.swarm.questions import Directory, Knock, Question, Reply, Want
from btard.swarm.records.record import Join
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, RecordError
from tests.coordinator.swarm import until
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, TableRecords, TableTransport, run_manifest

ME, COORDINATOR, NAMED = PEERS[0], PEERS[5], PEERS[4]
MANIFEST = run_manifest()


def maddr(number: int, port: int = 1) -> str:
    return f"/ip4/127.0.0.{number + 1}/tcp/{port}"


class Records(TableRecords):
    """A DHT that remembers what is published, and which authors are asked for."""

    def __init__(self) -> None:
        super().__init__({(RUN, MessageKind.JOIN): {}})
        self.published: list[Envelope] = []
        self.asked: list[set[PeerId]] = []
        self.failing = False

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        if self.failing:
            raise RecordError("no other node keeps the record")
        self.published.append(envelope)

    async def read(self, run: bytes, kind: MessageKind, authors: Iterable[PeerId]) -> dict[PeerId, Envelope]:
        self.asked.append(set(authors))
        return await super().read(run, kind, self.asked[-1])

    def announce(self, number: int, *maddrs: str) -> None:
        join = Join(fingerprint=MANIFEST.fingerprint, maddrs=list(maddrs), time=0.0)
        self.found[RUN, MessageKind.JOIN][PEERS[number]] = join.sign(KEYS[number], RUN, MessageKind.JOIN)


class Scene:
    """The neighbours of peer 0, and everything around them."""

    def __init__(self) -> None:
        self.records = Records()
        self.remembered: dict[PeerId, tuple[str, ...]] = {}
        self.noted: dict[PeerId, tuple[str, ...]] = {}
        self.transport: Any = TableTransport({}, ME)
        self.transport.remember = self._remember
        node: Any = SimpleNamespace(records=self.records, transport=self.transport, maddrs=(maddr(0),))
        rosters = Rosters(self.records, self.transport, COORDINATOR, RUN, [NAMED])  # type: ignore[arg-type]
        self.door = Door(MANIFEST, self._call, self._connected)
        self.knocker = Knocker(self.transport, MANIFEST, [maddr(0)])
        named = {NAMED: (maddr(4),)}
        memory: Any = self
        self.neighbours = Neighbours(node, KEYS[0], MANIFEST, named, rosters, self.door, self.knocker, memory)

    def note(self, members: Iterable[PeerId], known: Mapping[PeerId, tuple[str, ...]]) -> None:
        self.noted = {peer: known[peer] for peer in members if peer in known}

    def _remember(self, address: PeerAddress) -> None:
        if "nonsense" in address.maddrs:
            raise DaemonError("no multiaddress")
        self.remembered[address.peer_id] = address.maddrs

    async def _call(self, peer: PeerId) -> str | None:
        return None

    async def _connected(self) -> set[PeerId] | None:
        return None

    async def wait(self, *numbers: int) -> None:
        """Let peers knock and be called back."""
        self.door.open(ROSTER.members[:2], ())
        for number in numbers:
            knock = Knock(
                run=MANIFEST.run_id,
                protocol=MANIFEST.protocol,
                fingerprint=MANIFEST.fingerprint,
                maddrs=[maddr(number, 7)],
            )
            assert self.door.knock(PEERS[number], knock) is Reply.WAIT
            assert await self.door.call_back(PEERS[number])


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_the_dht_serves_members_named_peers_and_waiting_ones(scene: Scene) -> None:
    knows = scene.neighbours.knows
    assert [knows(peer) for peer in PEERS] == [False, False, False, False, True, True]
    scene.neighbours.stand(PEERS[:2])
    await scene.wait(3)
    assert [knows(peer) for peer in PEERS] == [True, True, False, True, True, True]
    scene.door.forget(PEERS[3])
    assert not knows(PEERS[3])


async def test_addresses_come_from_named_peers_and_records_by_author(scene: Scene) -> None:
    told = {PEERS[1]: (maddr(1),), PEERS[2]: (maddr(2),), PEERS[3]: (maddr(3),), COORDINATOR: (maddr(5),)}
    scene.transport.answers = {NAMED: Directory(told).encode()}
    scene.records.announce(2, maddr(2, 9))
    await scene.neighbours.locate(PEERS[:3], 5.0)
    assert {peer for peer, _, _ in scene.transport.asked} == {NAMED, COORDINATOR}
    assert scene.remembered == {PEERS[1]: (maddr(1),), PEERS[2]: (maddr(2),), COORDINATOR: (maddr(5),)}
    await scene.neighbours._read_joins(frozenset(PEERS[1:3]))
    assert scene.remembered[PEERS[2]] == (maddr(2, 9),), "a peer's own word is better"
    await scene.neighbours.ask_around()
    assert scene.remembered[PEERS[2]] == (maddr(2, 9),)
    directory = scene.neighbours.directory()
    assert directory.addresses == {
        ME: (maddr(0),),
        PEERS[1]: (maddr(1),),
        PEERS[2]: (maddr(2, 9),),
        NAMED: (maddr(4),),
        COORDINATOR: (maddr(5),),
    }


async def test_locating_a_peer_that_is_nowhere_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EAGER_SECONDS", 0.001)
    await asyncio.wait_for(scene.neighbours.locate(PEERS[:3], 0.01), 20)
    assert {*PEERS[1:3]} in scene.records.asked


async def test_named_peers_are_asked_until_they_name_the_coordinator(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EAGER_SECONDS", 0.001)
    monkeypatch.setattr(module, "_ASK_AGAIN_SECONDS", 0.002)
    asked = 0

    async def answer(request: bytes) -> bytes | None:
        nonlocal asked
        asked += Question.decode(request).want is Want.ADDRESSES
        return Directory({COORDINATOR: (maddr(5),)}).encode() if asked > 3 else None

    scene.transport.answers = {NAMED: answer}
    running = asyncio.ensure_future(scene.neighbours.run())
    await until(lambda: COORDINATOR in scene.remembered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asked == 4


async def test_addresses_that_are_none_hold_nobody_up(scene: Scene) -> None:
    scene.records.announce(1, "nonsense")
    scene.records.announce(2, maddr(2))
    await scene.neighbours.locate(PEERS[:3], 5.0)
    assert scene.remembered == {PEERS[1]: (), PEERS[2]: (maddr(2),)}


async def test_where_a_new_member_is_was_told_at_the_door(scene: Scene) -> None:
    scene.neighbours.stand(PEERS[:2])
    await scene.wait(3)
    scene.records.announce(3, maddr(3, 2))
    await scene.neighbours._read_joins(frozenset({PEERS[3]}))
    scene.neighbours.stand((*PEERS[:2], PEERS[3]))
    assert scene.remembered[PEERS[3]] == (maddr(3, 7),)
    scene.neighbours.stand(PEERS[:2])
    assert PEERS[3] not in scene.neighbours.directory().addresses


async def test_a_directory_names_the_peers_that_wait(scene: Scene) -> None:
    await scene.wait(3)
    assert scene.neighbours.directory().waiting == (PEERS[3],)


async def test_a_peer_that_waits_at_the_door_is_named(scene: Scene) -> None:
    assert scene.neighbours.candidates(ROSTER) == NOBODY
    await scene.wait(3, 5)
    named = {
        peer
        for step in (5, 6, 7)
        for peer in scene.neighbours.candidates(
            ROSTER.__class__(step, PEERS[:2], frozenset({PEERS[3]}), bytes(32))
        ).peers
    }
    assert named == {PEERS[5]}


async def test_a_suspended_peer_is_named_once_it_knocks_again(scene: Scene) -> None:
    def is_named(step: int) -> bool:
        roster = ROSTER.__class__(step, PEERS[:2], frozenset(), bytes(32))
        return PEERS[3] in scene.neighbours.candidates(roster).peers

    await scene.wait(3)
    scene.neighbours.gone(PEERS[3])
    assert not any(is_named(step) for step in range(6, 30))
    await scene.wait(3)
    assert is_named(31) or is_named(32)


@pytest.mark.parametrize("is_member", [True, False])
async def test_a_peer_announces_itself_once_others_know_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, is_member: bool
) -> None:
    for name, value in (("_EAGER_SECONDS", 0.001), ("_ANNOUNCE_AGAIN_SECONDS", 0.002), ("_REREAD_SECONDS", 0.002)):
        monkeypatch.setattr(module, name, value)
    running = asyncio.ensure_future(scene.neighbours.run())
    await until(lambda: len(scene.transport.asked) > 10)
    assert scene.records.published == []
    scene.records.failing = True
    if is_member:
        scene.neighbours.stand(PEERS[:2])
    else:
        scene.knocker.heard = True
    asked = len(scene.transport.asked)
    await until(lambda: len(scene.transport.asked) > asked + 10)
    scene.records.failing = False
    await until(lambda: scene.records.published)
    asked = len(scene.transport.asked)
    await until(lambda: len(scene.transport.asked) > asked + 10)
    (envelope,) = scene.records.published
    assert Join.read(envelope, RUN, MessageKind.JOIN).maddrs == [maddr(0)]
    scene.neighbours.announce_again()
    await until(lambda: len(scene.records.published) == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
