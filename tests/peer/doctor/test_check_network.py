"""Each hop that can fail on the way into a swarm, over real sockets, and clocks that lie or run wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from btard.errors import UserError
from btard.peer.doctor.check_network import (
    AddressFacts,
    Answer,
    ClockFacts,
    Hop,
    Scope,
    check_address,
    check_announced,
    check_clock,
    check_dial_back,
    check_own_address,
    scope_of,
)
from btard.peer.doctor.finding import CheckOutcome
from btard.peer.doctor.probe_network import probe_address
from btard.transport.libp2p.probing import ClockReading, DialBack, Reach
from tests.peer.helpers import PEERS

PUBLIC, PRIVATE, LOCAL = "/ip4/8.8.8.8/tcp/1", "/ip4/10.0.0.5/tcp/1", "/ip4/127.0.0.1/tcp/1"


@pytest.fixture
async def plain_server() -> AsyncIterator[int]:
    """A TCP server that says something that is not libp2p."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def silent_server() -> AsyncIterator[int]:
    """A TCP server that accepts and never says anything."""
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_closed_port() -> None:
    port = closed_port()
    answer = await probe_address(f"127.0.0.1:{port}", 5)
    assert (answer.reached, answer.refused) == (Hop.NAME, True)
    assert f"nobody listens at 127.0.0.1:{port}" in check_address(answer).sentence
    answer = await probe_address(f"/ip4/127.0.0.1/tcp/{port}/p2p/{PEERS[0]}", 5)
    assert answer.reached is Hop.NAME and answer.wanted == str(PEERS[0])


async def test_a_server_that_is_no_peer(plain_server: int, silent_server: int) -> None:
    answer = await probe_address(f"127.0.0.1:{plain_server}", 5)
    finding = check_address(answer)
    assert answer.reached is Hop.PORT and finding.outcome is CheckOutcome.FAILED
    assert "something listens" in finding.sentence and "is no libp2p peer" in finding.sentence
    answer = await probe_address(f"127.0.0.1:{silent_server}", 0.3)
    assert answer.reached is Hop.PORT and "did not answer within 0.3 s" in answer.said


async def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    answer = await probe_address("nowhere.invalid:1", 5)
    assert answer.reached is Hop.NOTHING
    assert "does not resolve (Name or service not known)" in check_address(answer).sentence


async def test_a_port_behind_a_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio, "open_connection", wait)
    answer = await probe_address("127.0.0.1:1", 0.1)
    assert (answer.reached, answer.refused) == (Hop.NAME, False)
    assert "a firewall is in between" in check_address(answer).sentence


async def test_no_address_is_bad_input() -> None:
    with pytest.raises(UserError, match="is no address"):
        await probe_address("nonsense", 1)
    relayed = f"/ip4/127.0.0.1/tcp/1/p2p/{PEERS[0]}/p2p-circuit/p2p/{PEERS[1]}"
    assert (await probe_address(relayed, 1)).reached is Hop.PEER, "only p2pd can go there"


def test_another_peer_than_the_one_meant() -> None:
    answer = Answer("h:1", Hop.PEER, shown="A", wanted="B")
    assert "another peer answers at h:1: A" in check_address(answer).sentence
    assert check_address(replace(answer, wanted="")).outcome is CheckOutcome.OK


@pytest.mark.parametrize(
    ("maddr", "scope"),
    [
        (PUBLIC, Scope.WORLD),
        (PRIVATE, Scope.NETWORK),
        ("/ip4/100.64.0.1/tcp/1", Scope.NETWORK),
        (LOCAL, Scope.MACHINE),
        ("/ip6/::1/tcp/1", Scope.MACHINE),
        ("/ip6/fe80::1/udp/1/quic", Scope.NETWORK),
        ("/dns4/example.org/tcp/1", Scope.WORLD),
        ("/dns4/localhost/tcp/1", Scope.MACHINE),
        ("/ip4/10.0.0.1/tcp/1/p2p/x/p2p-circuit", Scope.WORLD),
        ("/ip4/999/tcp/1", None),
        ("\x1b[31m", None),
    ],
)
def test_from_where_an_address_can_be_dialled(maddr: str, scope: Scope | None) -> None:
    assert scope_of(maddr) is scope


@pytest.mark.parametrize(
    ("own", "others", "announced", "words"),
    [
        ((LOCAL, PRIVATE), ((LOCAL, PUBLIC),), False, "only private addresses (/ip4/127.0.0.1/tcp/1, /ip4/10.0.0.5"),
        ((LOCAL,), ((PRIVATE,),), False, "only loopback addresses"),
        ((PRIVATE,), ((PUBLIC,),), True, "--announce gives only private addresses"),
        ((), ((PUBLIC,),), False, "no address that can be dialled"),
        (("junk",), (), True, "no address that can be dialled"),
    ],
)
def test_addresses_that_others_cannot_dial(
    own: tuple[str, ...], others: tuple[tuple[str, ...], ...], announced: bool, words: str
) -> None:
    finding = check_announced(AddressFacts(own, others, announced))
    assert finding.outcome is CheckOutcome.FAILED and words in finding.sentence, finding.sentence


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ((LOCAL,), ((LOCAL,),)),
        ((LOCAL, PRIVATE), ((LOCAL, PRIVATE), ("junk",))),
        ((PUBLIC,), ((PUBLIC,),)),
        ((LOCAL,), ()),
    ],
)
def test_addresses_that_fit(own: tuple[str, ...], others: tuple[tuple[str, ...], ...]) -> None:
    assert check_announced(AddressFacts(own, others, False)).outcome is CheckOutcome.OK


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (None, CheckOutcome.UNTESTED, "nobody was asked"),
        (DialBack(Reach.REACHED), CheckOutcome.OK, "has dialled this machine back"),
        (
            DialBack(Reach.UNREACHED, "timeout"),
            CheckOutcome.FAILED,
            "cannot dial this machine at /ip4/8.8.8.8/tcp/1 (timeout)",
        ),
        (DialBack(Reach.REFUSED, "private"), CheckOutcome.UNTESTED, "could not be tested: p2pd dials back only public"),
        (DialBack(Reach.NOT_OFFERED, "no"), CheckOutcome.UNTESTED, "which needs its --public"),
    ],
)
def test_dialling_back(answer: DialBack | None, outcome: CheckOutcome, words: str) -> None:
    finding = check_dial_back(answer, [PUBLIC])
    assert (finding.outcome, words in finding.sentence) == (outcome, True), finding.sentence


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer("a", Hop.PEER, shown="me", wanted="me"), CheckOutcome.OK),
        (Answer("a", Hop.PEER, shown="other", wanted="me"), CheckOutcome.FAILED),
        (Answer("a", Hop.PORT, "is no libp2p peer", wanted="me"), CheckOutcome.FAILED),
        (Answer("a", Hop.NOTHING, "no such name", wanted="me"), CheckOutcome.FAILED),
        (Answer("a", Hop.NAME, "refused", True, wanted="me"), CheckOutcome.UNTESTED),
    ],
)
def test_an_announced_address_of_ones_own(answer: Answer, outcome: CheckOutcome) -> None:
    assert check_own_address(answer).outcome is outcome


def reading(ahead: float) -> ClockReading:
    """What a peer tells to an asker `ahead` of it, the answer taking 0.2 s."""
    return ClockReading(1000.0, 1000.1 - ahead, 1000.2)


@pytest.mark.parametrize(
    ("facts", "outcome", "words"),
    [
        (ClockFacts(()), CheckOutcome.UNTESTED, "could not be compared"),
        (ClockFacts((reading(0),)), CheckOutcome.OK, "0.10 s behind and 0.10 s ahead of the swarm's, by 1 reading"),
        (ClockFacts((reading(60),)), CheckOutcome.FAILED, "ahead of the swarm's by at least 60 s"),
        (ClockFacts((reading(-60),)), CheckOutcome.FAILED, "behind the swarm's by 60 s"),
        (ClockFacts((reading(5),)), CheckOutcome.OK, "clock is 4.90 to 5.10 s ahead of the swarm's"),
        (ClockFacts((reading(-5),)), CheckOutcome.OK, "clock is 4.90 to 5.10 s behind the swarm's"),
    ],
)
def test_the_clock(facts: ClockFacts, outcome: CheckOutcome, words: str) -> None:
    finding = check_clock(facts)
    assert (finding.outcome, words in finding.sentence) == (outcome, True), finding.sentence


def test_a_minority_of_liars_does_not_move_the_clock() -> None:
    honest = tuple(reading(ahead) for ahead in (-1, 0, 2))
    assert check_clock(ClockFacts((*honest, reading(9e9), reading(-9e9)))).outcome is CheckOutcome.OK
