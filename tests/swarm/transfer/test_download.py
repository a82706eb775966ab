"""A state from several peers at once: liars, the slow and the silent cost themselves their seats, and nobody else."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from btard import outline as outlines
from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import PeerId
from btard.outline import Outline, Outlined
from btard.swarm.questions import Question, Want
from btard.swarm.transfer import download as module
from btard.swarm.transfer.arrival import Arrival
from btard.swarm.transfer.download import SEATS, download_state
from btard.transport.libp2p import FetchError
from tests.peer.helpers import PEERS, TableTransport
from tests.swarm.transfer.helpers import Server

CHUNKS = 10
BYTES = bytes(range(8 * CHUNKS - 3))
ALL = list(range(CHUNKS))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks of 8 bytes, and nobody wait for long."""
    monkeypatch.setattr(outlines, "CHUNK_BYTES", 8)
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(module, "FIRST_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LEAST_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.01)


@dataclass
class Newcomer:
    """Downloads, and remembers what it has loaded."""

    folder: Path
    loaded: list[bytes] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "arriving.state"

    async def download(self, *servers: Server | Exception, limit: int = 100, timeout: float = 5.0) -> PeerId | None:
        async def load(data: Payload) -> bytes:
            self.loaded.append(bytes(data))
            return Outline.of([data]).digest

        transport = TableTransport(dict(zip(PEERS, servers, strict=False)))
        return await download_state(
            transport,  # type: ignore[arg-type]
            PEERS[: len(servers)],
            Question(want=Want.STATE, step=5),
            load,
            Outlined.of(BYTES).outline.digest,
            arriving=self.file,
            limit=limit,
            timeout_seconds=timeout,
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


@pytest.fixture
def state() -> Outlined:
    return Outlined.of(BYTES)


async def test_each_chunk_comes_once_from_one_of_several(newcomer: Newcomer, state: Outlined) -> None:
    servers = [Server(state) for _ in range(3)]
    assert await newcomer.download(*servers) in PEERS[:3]
    assert newcomer.loaded == [BYTES]
    assert sorted(index for server in servers for index in server.chunks) == ALL
    assert all(server.chunks for server in servers), "all have taken part"
    assert not newcomer.file.exists()


async def test_one_source_is_enough_and_none_is_not(newcomer: Newcomer, state: Outlined) -> None:
    assert await newcomer.download() is None
    assert await newcomer.download(FetchError("unreachable"), FetchError("unreachable")) is None
    assert await newcomer.download(FetchError("unreachable"), Server(state)) == PEERS[1]
    assert newcomer.loaded == [BYTES]


async def test_no_more_than_four_peers_are_asked(newcomer: Newcomer, state: Outlined) -> None:
    servers = [Server(state) for _ in range(5)]
    await newcomer.download(*servers)
    assert [bool(server.chunks) for server in servers] == [True] * 4 + [False]


async def test_one_false_chunk_drops_its_sender_and_nothing_else(newcomer: Newcomer, state: Outlined) -> None:
    for lie in (lambda data: b"x" + data[1:], lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""):
        liar = Server(state, change=lambda index, data, lie=lie: lie(data))  # type: ignore[misc]
        honest = Server(state)
        assert await newcomer.download(liar, honest) == PEERS[1]
        assert len(liar.chunks) == 1
        assert sorted(honest.chunks) == ALL
        assert newcomer.loaded.pop() == BYTES


async def test_what_a_liar_has_sent_before_is_not_fetched_again(newcomer: Newcomer, state: Outlined) -> None:
    liar = Server(state, change=lambda index, data: data if index < 4 else bytes(len(data)))
    assert await newcomer.download(liar) is None
    honest = Server(state)
    assert await newcomer.download(honest) == PEERS[0]
    assert sorted(honest.chunks) == ALL[4:]


async def test_an_outline_that_most_do_not_name_is_dropped(newcomer: Newcomer, state: Outlined) -> None:
    others = [Outlined.of(BYTES[:-1]).outline.encode(), b"garbage", bytes(5000), b""]
    liars = [Server(state, outline=other) for other in others]
    assert await newcomer.download(*liars) is None
    assert await newcomer.download(*liars, Server(state)) == PEERS[4]
    assert all(liar.chunks == [] for liar in liars)


async def test_a_state_longer_than_any_of_this_task_is_refused(newcomer: Newcomer, state: Outlined) -> None:
    server = Server(state)
    assert await newcomer.download(server, limit=len(BYTES) - 1) is None
    assert server.chunks == [] and not newcomer.file.exists(), "before any room is taken for it"


async def test_a_slow_peer_loses_its_seat_to_one_that_waits(newcomer: Newcomer, state: Outlined) -> None:
    never = asyncio.Event()
    slow = [Server(state, holds=never) for _ in range(SEATS)]
    fast = Server(state)
    assert await newcomer.download(*slow, fast) == PEERS[SEATS]
    assert sorted(fast.chunks) == ALL
    assert all(len(server.chunks) == 1 for server in slow)


async def test_a_peer_that_is_busy_is_asked_again(newcomer: Newcomer, state: Outlined) -> None:
    assert await newcomer.download(Server(state, busy=3)) == PEERS[0]
    assert newcomer.loaded == [BYTES]


async def test_a_broken_stream_leaves_the_rest_to_others(newcomer: Newcomer, state: Outlined) -> None:
    dying, honest = Server(state, fails=2), Server(state)
    assert await newcomer.download(dying, honest) == PEERS[1]
    assert len(dying.chunks) == 3 and newcomer.loaded == [BYTES]


async def test_an_interrupted_download_goes_on(newcomer: Newcomer, state: Outlined) -> None:
    dying = Server(state, fails=6)
    assert await newcomer.download(dying) is None and newcomer.loaded == []
    torn = bytearray(newcomer.file.read_bytes())
    torn[3] ^= 1
    newcomer.file.write_bytes(torn[:-20])  # a power cut has damaged one chunk and lost the end
    again = Server(state)
    assert await newcomer.download(again) == PEERS[0]
    assert sorted(again.chunks) == [0, *ALL[6:]]
    assert newcomer.loaded == [BYTES]


async def test_a_deadline_ends_it_and_keeps_what_came(newcomer: Newcomer, state: Outlined) -> None:
    gate = asyncio.Event()
    server = Server(state)

    def change(index: int, data: bytes) -> bytes:
        server.holds = gate if index == 3 else None
        return data

    server.change = change
    assert await newcomer.download(server, timeout=0.3) is None
    server.holds = None
    server.change, server.chunks = (lambda index, data: data), []
    assert await newcomer.download(server) == PEERS[0]
    assert sorted(server.chunks) == ALL[4:]


async def test_chunks_of_another_state_that_are_the_same_stay(newcomer: Newcomer, state: Outlined) -> None:
    """As where a model's embedding does not move."""
    newcomer.file.write_bytes(BYTES[:24] + bytes(200))
    server = Server(state)
    assert await newcomer.download(server) == PEERS[0]
    assert sorted(server.chunks) == ALL[3:]
    assert newcomer.loaded == [BYTES]


async def test_a_disk_that_takes_nothing_is_told(
    newcomer: Newcomer, state: Outlined, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Arrival, index: int, data: Payload) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Arrival, "put", full)
    assert await newcomer.download(Server(state), Server(state)) is None
    assert "No space left on device" in caplog.text and str(newcomer.file) in caplog.text


async def test_a_link_in_the_place_of_the_file_is_not_followed(newcomer: Newcomer, state: Outlined) -> None:
    precious = newcomer.folder / "precious"
    precious.write_bytes(b"precious")
    newcomer.file.symlink_to(precious)
    assert await newcomer.download(Server(state)) is None
    assert precious.read_bytes() == b"precious"


async def test_a_state_that_cannot_be_loaded_is_no_success(
    newcomer: Newcomer, state: Outlined, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(data: Payload) -> bytes:
        raise UserError("the training state is damaged")

    async def differs(data: Payload) -> bytes:
        return bytes(32)

    for load in (refuses, differs):
        transport = TableTransport({PEERS[0]: Server(state)})
        server = await download_state(
            transport,  # type: ignore[arg-type]
            PEERS[:1],
            Question(want=Want.STATE, step=5),
            load,
            state.outline.digest,
            arriving=newcomer.file,
            limit=100,
            timeout_seconds=5.0,
        )
        assert server is None


async def test_questions_and_limits_are_those_of_each_chunk(newcomer: Newcomer, state: Outlined) -> None:
    transport = TableTransport({PEERS[0]: Server(state)})
    download = module.Download(
        transport,  # type: ignore[arg-type]
        PEERS[:1],
        Question(want=Want.STATE, step=5),
        state.outline.digest,
        newcomer.file,
        100,
    )
    shown: list[tuple[int, int, int]] = []
    assert await download.fetch(lambda *at: shown.append(at), 5.0)
    assert [limit for _, _, limit in transport.asked] == [outlines.longest(100), *[8] * (CHUNKS - 1), 5]
    assert [done for done, _, _ in shown] == sorted(done for done, _, _ in shown)
    assert shown[-1][:2] == (len(BYTES), len(BYTES))
