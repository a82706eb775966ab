"""Knocking: at every door that is named, again until it opens, and only there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from btard.identity import PeerId
from btard.peer.meeting import knocking as module
from btard.peer.meeting.knocking import Knocker
from btard.swarm.door.asking import ask_directory
from btard.swarm.questions import Directory, Question, Reply, Want
from btard.transport.libp2p import FetchError
from tests.coordinator.swarm import until
from tests.peer.helpers import PEERS, TableTransport, run_manifest

MANIFEST = run_manifest()
OWN = f"/ip4/127.0.0.1/tcp/1/p2p/{PEERS[5]}"


class Doors:
    """Answers knocks as it is told, and counts them."""

    def __init__(self) -> None:
        self.replies: dict[PeerId, Reply | Exception] = dict.fromkeys(PEERS[:4], Reply.WAIT)
        self.knocks: dict[PeerId, int] = {}
        self.transport: Any = TableTransport({peer: self._answer(peer) for peer in PEERS[:4]})

    def _answer(self, peer: PeerId) -> Any:
        async def answer(request: bytes) -> bytes:
            question = Question.decode(request)
            assert question.want is Want.KNOCK and question.knock is not None
            assert (question.knock.run, question.knock.maddrs) == (MANIFEST.run_id, [OWN])
            self.knocks[peer] = self.knocks.get(peer, 0) + 1
            reply = self.replies[peer]
            if isinstance(reply, Exception):
                raise reply
            return reply.encode()

        return answer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "KNOCK_AGAIN_SECONDS", 0.002)


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
async def knocker(doors: Doors) -> AsyncIterator[Knocker]:
    made = Knocker(doors.transport, MANIFEST, [OWN])
    running = asyncio.ensure_future(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_a_newcomer_knocks_everywhere_and_stops_where_it_waits(doors: Doors, knocker: Knocker) -> None:
    doors.replies[PEERS[1]] = Reply.BUSY
    knocker.knock_at(PEERS[:3])
    await until(lambda: doors.knocks.get(PEERS[1], 0) > 5)
    assert (doors.knocks[PEERS[0]], doors.knocks[PEERS[2]]) == (1, 1)
    assert PEERS[3] not in doors.knocks and knocker.heard


@pytest.mark.parametrize("reply", [Reply.BUSY, Reply.ELSEWHERE, FetchError("the peer is busy")])
async def test_a_door_that_does_not_open_is_tried_again(
    doors: Doors, knocker: Knocker, reply: Reply | Exception
) -> None:
    doors.replies[PEERS[0]] = reply
    knocker.knock_at([PEERS[0]])
    await until(lambda: doors.knocks.get(PEERS[0], 0) > 3)
    assert not knocker.heard
    doors.replies[PEERS[0]] = Reply.WAIT
    await until(lambda: knocker.heard)


async def test_a_peer_that_waits_says_so_again_in_time(
    doors: Doors, knocker: Knocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.005)
    knocker.knock_at([PEERS[0]])
    await until(lambda: doors.knocks.get(PEERS[0], 0) > 3)


async def test_the_first_refusal_is_told_in_words(
    doors: Doors, knocker: Knocker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.005)
    doors.replies[PEERS[0]] = Reply.OTHER_DATA
    with caplog.at_level(logging.WARNING):
        knocker.knock_at([PEERS[0]])
        await until(lambda: doors.knocks.get(PEERS[0], 0) > 3)
    (record,) = caplog.records
    assert record.getMessage() == f"{PEERS[0].short} does not name this peer as a candidate, and says: " + (
        "it trains on other data"
    )


async def test_a_member_knocks_nowhere(doors: Doors, knocker: Knocker) -> None:
    doors.replies[PEERS[0]] = Reply.BUSY
    knocker.knock_at(PEERS[:2])
    await until(lambda: doors.knocks.get(PEERS[0], 0) > 2 and knocker.heard)
    knocker.rest()
    knocker.knock_at([PEERS[2]])
    await until(lambda: PEERS[2] in doors.knocks and knocker.heard)
    before = doors.knocks[PEERS[0]]
    knocker.knock_at([PEERS[3]])
    await until(lambda: PEERS[3] in doors.knocks)
    assert doors.knocks[PEERS[0]] == before
    knocker.rest()
    assert not knocker.heard


async def test_where_a_peer_believes_the_others_to_be() -> None:
    told = Directory({PEERS[1]: ("/ip4/1.2.3.4/tcp/5",)}, (PEERS[4],))
    transport: Any = TableTransport({PEERS[0]: told.encode(), PEERS[1]: b"\xff", PEERS[2]: bytes(1 << 20)})
    assert await ask_directory(transport, PEERS[0]) == told
    for peer in PEERS[1:4]:
        assert await ask_directory(transport, peer) is None
