"""The coordinator's newest roster: wherever it comes from, only its signature and its number count."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from btard.identity import Envelope, MessageKind, PeerId
from btard.peer.meeting import rosters as module
from btard.peer.meeting.rosters import Rosters
from btard.round.roster import Roster
from btard.swarm.questions import Directory, Question, Want
from btard.swarm.records.record import RosterRecord
from btard.transport.libp2p import FetchError
from tests.coordinator.swarm import until
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, TableRecords, TableTransport, with_false_signature

LATER = replace(ROSTER, step=9)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


def signed(
    roster: Roster, number: int, *, author: int = 0, run: bytes = RUN, finished: bool = False, kind: str = "GENESIS"
) -> Envelope:
    body = RosterRecord.of(roster, finished=finished).model_dump_json().encode()
    return Envelope.sign(KEYS[author], run=run, step=number, kind=MessageKind[kind], body=body)


def rosters(dht: Envelope | None = None, **answers: Envelope | bytes | Exception) -> tuple[Rosters, Any]:
    """The coordinator is peer 0, the user has named peers 1 and 2; each may answer."""
    records: Any = TableRecords({(RUN, MessageKind.GENESIS): {PEERS[0]: dht}} if dht is not None else {})
    encoded = {
        PEERS[int(name[1:])]: answer.encode() if isinstance(answer, Envelope) else answer
        for name, answer in answers.items()
    }
    transport: Any = TableTransport(encoded)
    return Rosters(records, transport, PEERS[0], RUN, PEERS[1:3]), transport


async def seen(dht: Envelope | None = None, **answers: Envelope | bytes | Exception) -> Roster | None:
    record = await rosters(dht, **answers)[0].look()
    return record.unpack() if record is not None else None


async def test_it_is_found_in_the_dht_and_over_streams() -> None:
    assert await seen() is None
    assert await seen(signed(ROSTER, 1)) == ROSTER
    for name in ("p0", "p1", "p2"):
        assert await seen(**{name: signed(ROSTER, 1)}) == ROSTER


async def test_only_the_coordinator_and_the_named_peers_are_asked() -> None:
    look, transport = rosters(signed(ROSTER, 1), p4=signed(LATER, 9))
    await look.look()
    assert {peer for peer, _, _ in transport.asked} == set(PEERS[:3])
    assert {Question.decode(request).want for _, request, _ in transport.asked} == {Want.ROSTER}


async def test_the_highest_number_wins_wherever_it_is() -> None:
    old, new = signed(LATER, 1), signed(ROSTER, 2)
    assert await seen(old, p1=new, p2=old) == ROSTER
    assert await seen(new, p0=old, p1=old) == ROSTER


async def test_nobody_goes_back_behind_what_was_seen() -> None:
    look, transport = rosters(p1=signed(LATER, 5, finished=True))
    assert (await look.look()) is not None
    transport.answers = {PEERS[0]: signed(ROSTER, 4).encode()}
    record = await look.look()
    assert record is not None and record.unpack() == LATER and record.finished
    assert await look.newest_bytes() == signed(LATER, 5, finished=True).encode()


@pytest.mark.parametrize(
    "false",
    [
        signed(LATER, 9, author=1),
        signed(LATER, 9, run=bytes(16)),
        signed(LATER, 9, kind="JOIN"),
        Envelope.sign(KEYS[0], run=RUN, step=9, kind=MessageKind.GENESIS, body=b'{"roster":"00"}'),
        with_false_signature(signed(LATER, 9)),
        bytes(1 << 20),
        b"",
        FetchError("the peer is busy"),
    ],
)
async def test_what_is_not_the_coordinators_roster_hides_nothing(false: Envelope | bytes | Exception) -> None:
    assert await seen(p1=false) is None
    assert await seen(p1=false, p2=signed(ROSTER, 1)) == ROSTER


async def test_a_peer_that_does_not_answer_holds_up_nobody() -> None:
    look, transport = rosters(signed(ROSTER, 1))

    async def never(request: bytes) -> bytes | None:
        return await asyncio.get_running_loop().create_future()

    transport.answers = {PEERS[1]: never}
    record = await asyncio.wait_for(look.look(), 20)
    assert record is not None and record.unpack() == ROSTER


@pytest.mark.parametrize("over", [False, True])
async def test_the_first_roster_is_waited_for(over: bool) -> None:
    looks = 0

    async def answer(request: bytes) -> bytes | None:
        nonlocal looks
        looks += 1
        return signed(ROSTER, 1, finished=over).encode() if looks == 3 else None

    look, transport = rosters()
    transport.answers = {PEERS[2]: answer}
    assert await asyncio.wait_for(look.wait_for_first(5), 20) == (ROSTER, over)


async def test_the_own_key_is_not_asked() -> None:
    transport: Any = TableTransport({}, PEERS[0])
    named: list[PeerId] = [PEERS[0], PEERS[1]]
    await Rosters(TableRecords(), transport, PEERS[0], RUN, named).look()  # type: ignore[arg-type]
    assert {peer for peer, _, _ in transport.asked} == {PEERS[1]}


async def test_a_waiting_peer_tells_how_many_are_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TELL_PERIOD_SECONDS", 0.01)
    caplog.set_level("INFO")

    async def coordinator(request: bytes) -> bytes | None:
        here = Directory({}, tuple(sorted(PEERS[3:5])))
        return here.encode() if Question.decode(request).want is Want.ADDRESSES else None

    look, transport = rosters()
    transport.answers = {PEERS[0]: coordinator}
    waiting = asyncio.ensure_future(look.wait_for_first(4))
    await until(lambda: caplog.text.count("waiting for the first roster: 2 of 4 are here") > 1)
    transport.answers = {}
    await until(lambda: "the coordinator does not say how many are here" in caplog.text)
    transport.answers = {PEERS[0]: signed(ROSTER, 1).encode()}
    await asyncio.wait_for(waiting, 20)
    told = len(caplog.records)
    await asyncio.sleep(0.05)
    assert len(caplog.records) == told
