"""The endpoint answers Prometheus, refuses everybody else, and nobody can hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import ValidationError

from btard.errors import UserError
from btard.peer.settings import PeerSettings
from btard.swarm.http import server as connections
from btard.swarm.http.messages import MAX_HEAD
from btard.swarm.telemetry.endpoint import MetricsEndpoint
from tests.swarm.telemetry.families import values

TOKEN = "a-token-of-some-length"


@asynccontextmanager
async def serving(token: Path | None = None, registry: CollectorRegistry | None = None) -> AsyncIterator[int]:
    """An endpoint on a free port, with a metric in it unless a registry is given."""
    if registry is None:
        registry = CollectorRegistry()
        Counter("things", "Things.", ["kind"], registry=registry).labels('a"\n\\ü').inc(3)
    endpoint = MetricsEndpoint("127.0.0.1:0", token)
    async with endpoint.serving(registry):
        yield endpoint.address.port


async def ask(port: int, data: bytes) -> tuple[int, dict[str, str], str]:
    """Send bytes; return the status, the headers and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body.decode()


async def get(port: int, path: str = "/metrics", *headers: str, host: str = "localhost:9108") -> tuple[int, str]:
    """Send a GET request as Prometheus does; return the status and the body."""
    accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: Prometheus/2.42.0", accept, *headers, "", ""]
    status, _, body = await ask(port, "\r\n".join(lines).encode())
    return status, body


async def test_the_text_format_is_served() -> None:
    async with serving() as port:
        status, headers, body = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == 200 and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert headers["cache-control"] == "no-store" and int(headers["content-length"]) == len(body.encode())
        assert values(body) == {'things_total{kind="a"\n\\ü"}': 3.0}
        assert "_created" not in body
        assert (await get(port))[0] == 200
        assert (await get(port, "/metrics?name=things"))[0] == 200


async def test_there_is_nothing_else() -> None:
    async with serving() as port:
        for path in ("/", "/metrics/", "/events", "/metrics.json"):
            assert (await get(port, path)) == (404, "metrics are at /metrics\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /../metrics%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: \xff\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403),
    ],
)
async def test_hostile_requests_are_refused(data: bytes, status: int) -> None:
    async with serving() as port:
        assert (await ask(port, data))[0] == status
        assert (await get(port))[0] == 200


async def test_slow_heads_and_crowds_do_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    async with serving() as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*(reader.read() for reader, _ in idle), return_exceptions=True)
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        for _, writer in idle:
            writer.close()
        assert (await get(port))[0] == 200


async def test_the_oldest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_SECONDS", 600.0)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    async with serving() as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _ in range(2):
            assert (await get(port))[0] == 200
        assert await ended(idle[0][0])
        for reader, writer in idle[1:]:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_an_address_gives_up_its_own_places_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_SECONDS", 600.0)
    monkeypatch.setattr(connections, "MAX_OF_ADDRESS", 2)
    async with serving() as port:
        other, kept = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for reader, _ in crowd[:2]:
            assert await ended(reader)
        assert (await get(port))[0] == 200
        assert not other.at_eof()
        kept.close()


async def test_a_slow_reader_of_an_answer_makes_room_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(connections, "CHUNK", 1)
    registry = CollectorRegistry()
    Counter("things", "Things.", ["kind"], registry=registry).labels("x" * (16 << 20)).inc()
    async with serving(registry=registry) as port:
        unread = [await unread_answer(port) for _ in range(2)]
        with pytest.raises((ConnectionError, IndexError)):
            await get(port)
        monkeypatch.setattr(connections, "LEAST_STAY_SECONDS", 0.0)
        assert (await get(port))[0] == 200
        for writer in unread:
            writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection on which nothing was said."""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
    return True


async def unread_answer(port: int) -> asyncio.StreamWriter:
    """Ask, and read no more than the beginning of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return writer


async def test_a_metric_that_fails_ends_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    broken = Gauge("broken", "Broken.", registry=registry)
    broken.set_function(lambda: 1 / 0)
    async with serving(registry=registry) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        broken.set_function(lambda: 1.0)
        assert (await get(port))[0] == 200
    assert "the metrics endpoint failed to answer" in caplog.text


async def test_a_token_is_asked_for_and_never_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with caplog.at_level(logging.INFO):
        async with serving(tmp_path / "token") as port:
            assert (await get(port, "/metrics", f"Authorization: Bearer {TOKEN}", host="peer.example:9108"))[0] == 200
            for wrong in ("Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}"):
                status, body = await get(port, "/metrics", f"Authorization: {wrong}")
                assert status == 401 and TOKEN not in body
            assert (await get(port, f"/metrics?token={TOKEN}"))[0] == 401
            _, headers, _ = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert headers["www-authenticate"] == "Bearer"
    assert f"metrics http://127.0.0.1:{port}/metrics; it asks for the token" in caplog.text
    assert TOKEN not in caplog.text


def peer_settings(**fields: object) -> PeerSettings:
    return PeerSettings.model_validate({"initial_peers": ["host:1"], **fields})


def test_beyond_this_machine_a_token_is_needed(tmp_path: Path) -> None:
    assert peer_settings(metrics="localhost:9108").metrics == "localhost:9108"
    with pytest.raises(ValidationError, match="can be read by other machines and need --metrics-token-file"):
        peer_settings(metrics="0.0.0.0:9108")
    assert peer_settings(metrics="0.0.0.0:9108", metrics_token_file=tmp_path / "token")
    with pytest.raises(ValidationError, match="must be :PORT or HOST:PORT"):
        peer_settings(metrics="9108")
    with pytest.raises(UserError, match=r"--metrics-token-file .* cannot be read"):
        MetricsEndpoint("0.0.0.0:0", tmp_path / "token")
