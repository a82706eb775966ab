"""A run's directory with a dashboard on a free port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from btard.coordinator.dashboard.service import Dashboard
from tests.swarm.events.lines import coordinator_line

EVIDENCE = "7-12D3KooWBBB.json"
EVENTS = [
    coordinator_line("started", time=1.0, rules="ab"),
    coordinator_line("genesis", time=2.0, step=0, members=["12D3KooWAAA", "12D3KooWBBB"]),
    coordinator_line(
        "verified",
        time=3.0,
        peer="12D3KooWBBB",
        step=7,
        words="lied <script>",
        basis="by its own signatures",
        evidence=f"bans/{EVIDENCE}",
    ),
]


@dataclass
class Answer:
    """What came back: the status, headers by name in small letters, the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Page:
    """A dashboard that runs, and its run's directory."""

    directory: Path
    port: int
    _open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, which stays open even if nobody keeps it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._open.append(writer)
        return reader, writer

    async def raw(self, data: bytes) -> Answer:
        """Send bytes and return the answer, which ends with the connection."""
        reader, writer = await self.connect()
        writer.write(data)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)

    async def get(self, target: str, *headers: str, host: str = "localhost") -> Answer:
        """Send a GET request."""
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        return await self.raw("\r\n".join(lines).encode())

    async def listen(self, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the stream of events, behind its head."""
        reader, writer = await self.connect()
        writer.write("\r\n".join(["GET /events HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and b"text/event-stream" in head
        assert await reader.readuntil(b"\n\n") == b"retry: 2000\n\n"
        return reader, writer

    def tell(self, event: str, **fields: object) -> None:
        """Write an event into the run's log."""
        with (self.directory / "events.jsonl").open("a") as file:
            file.write(json.dumps(coordinator_line(event, **fields)) + "\n")


async def message(reader: asyncio.StreamReader) -> tuple[str, dict[str, object]]:
    """Return the name and the content of the next event of a stream."""
    async with asyncio.timeout(60):
        block = (await reader.readuntil(b"\n\n")).decode()
    first, second = block.strip().split("\n")
    return first.removeprefix("event: "), json.loads(second.removeprefix("data: "))


Serve = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serving(token: str | None = None, period: float = 0.05) -> AsyncIterator[Page]:
        directory = tmp_path / "run"
        (directory / "bans").mkdir(parents=True, exist_ok=True)
        (directory / "bans" / EVIDENCE).write_text('{"evidence": true}')
        (directory / "bans" / "secret.json").write_text("{}")
        (directory / "identity.key").write_text("key")
        (directory / "manifest.json").write_text(json.dumps({"experiment": "test", "total_steps": 10}))
        (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
        token_file = None
        if token is not None:
            token_file = tmp_path / "token"
            token_file.write_text(token + "\n")
        dashboard = Dashboard("127.0.0.1:0", token_file)
        async with dashboard.serving(directory, period):
            yield Page(directory, dashboard.address.port)

    return serving
