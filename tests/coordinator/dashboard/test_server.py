"""The server answers browsers, refuses everybody else, and nobody can hold it up."""

from __future__ import annotations

import asyncio
import json

import pytest

from btard.coordinator.dashboard import feed as feeds
from btard.coordinator.dashboard import server as module
from btard.swarm.http import server as connections
from btard.swarm.http.messages import MAX_HEAD
from tests.coordinator.dashboard.conftest import EVIDENCE, Serve, message

TOKEN = "a-token-of-some-length"


async def test_the_page_and_its_files_are_served_with_strict_headers(serve: Serve) -> None:
    async with serve() as page:
        total = 0
        for path, kind in {"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css"}.items():
            answer = await page.get(path)
            assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert (
                b"http:" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"") and b"https:" not in answer.body
            )
            total += len(answer.body)
        assert total < 100_000


async def test_a_page_is_told_everything_and_then_what_changes(serve: Serve) -> None:
    async with serve() as page:
        reader, _ = await page.listen()
        name, view = await message(reader)
        assert name == "all"
        assert set(view) == {
            *("run", "peers", "pipeline", "bans", "exclusions", "verdicts", "checkpoints", "window", "curves"),
        }
        page.tell(event="checkpoint", step=5, digest="ab", evaluation_loss=1.5)
        name, changed = await message(reader)
        assert name == "update" and set(changed) == {"checkpoints"}
        with (page.directory / "steps.jsonl").open("a") as file:
            file.write(json.dumps({"step": 0, "median_loss": 2.0, "alive": 2}) + "\n")
        name, changed = await message(reader)
        assert changed["curves"] == {"stride": 1, "from": 0, "rows": [[0, 2.0, None, 2.0, None, None]]}


async def test_a_newcomer_gets_what_others_know_and_the_end_is_told(serve: Serve) -> None:
    async with serve(period=5.0) as page:
        first, _ = await page.listen()
        await message(first)
        page.tell(event="checkpoint", step=5)
        second, _ = await page.listen()
        assert (await message(second))[1]["checkpoints"]
        assert (await message(first))[0] == "update"
        page.tell(event="finished", step=6)
    assert (await message(first))[1]["run"]["state"] == "finished"  # type: ignore[index]
    assert await first.read() == b""


async def test_evidence_is_handed_out_only_if_a_ban_names_it(serve: Serve) -> None:
    async with serve() as page:
        await message((await page.listen())[0])
        answer = await page.get(f"/evidence/{EVIDENCE}")
        assert answer.status == 200 and json.loads(answer.body) == {"evidence": True}
        assert answer.headers["content-disposition"] == f'attachment; filename="{EVIDENCE}"'
        for path in (
            "/evidence/secret.json",
            "/evidence/../identity.key",
            "/evidence/..%2fidentity.key",
            "/evidence/%2e%2e/identity.key",
            "/../identity.key",
            "//identity.key",
            "/identity.key",
            "/evidence/",
            f"/evidence/{EVIDENCE}/",
            f"/evidence/{EVIDENCE}%00",
            "/assets/app.js",
            "/server.py",
        ):
            assert (await page.get(path)).status == 404, path
        (page.directory / "bans" / EVIDENCE).unlink()
        assert (await page.get(f"/evidence/{EVIDENCE}")).status == 404


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/2\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \xff\r\n\r\n", 400),
        (b"GET /" + b"a" * 1100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 65 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET /?" + b"a=1&" * 9 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)
async def test_hostile_requests_are_refused(serve: Serve, data: bytes, status: int) -> None:
    async with serve() as page:
        answer = await page.raw(data)
        assert answer.status == status and "content-security-policy" in answer.headers
        assert (await page.get("/")).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:99", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
async def test_a_name_that_was_pointed_at_loopback_is_refused(serve: Serve, host: str, status: int) -> None:
    async with serve() as page:
        assert (await page.get("/", host=host)).status == status


async def test_other_sites_cannot_read_the_data(serve: Serve) -> None:
    async with serve() as page:
        assert (await page.get("/events", "Sec-Fetch-Site: cross-site")).status == 403
        assert (await page.get("/", "Sec-Fetch-Site: cross-site")).status == 200  # a link from elsewhere


async def test_the_token_opens_once_and_becomes_a_cookie(serve: Serve) -> None:
    async with serve(TOKEN) as page:
        for wrong in (
            "/",
            "/events",
            "/app.js",
            "/?token=",
            "/?token=a-token-of-some-lengt",
            f"/?token={TOKEN}x",
            "/?t=%ff",
        ):
            answer = await page.get(wrong, host="swarm.example")
            assert answer.status == 403 and TOKEN.encode() not in answer.body, wrong
        answer = await page.get(f"//evil.example/?token={TOKEN}", host="swarm.example")
        assert answer.status == 303 and answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        pair = cookie.split(";")[0]
        assert (await page.get("/", f"Cookie: other=1; {pair}", host="swarm.example")).status == 200
        assert (await page.get("/", f"Authorization: Bearer {TOKEN}")).status == 200
        assert (await page.get("/", f"Authorization: Basic {TOKEN}")).status == 403
        reader, _ = await page.listen(f"Cookie: {pair}")
        assert (await message(reader))[0] == "all"


async def test_a_client_that_does_not_read_does_not_block_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_SECONDS", 0.5)
    async with serve(period=0.02) as page:
        ears, deaf = await page.connect()
        deaf.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deaf.transport.pause_reading()  # type: ignore[attr-defined]
        reader, _ = await page.listen()
        await message(reader)
        seen = 0
        for step in range(150):
            page.tell(event="excluded", peer="x" * 300, step=step, reason="y" * 300)
            if (await message(reader))[0] == "update":
                seen += 1
        assert seen > 5
        deaf.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            await asyncio.gather(ears.read(), return_exceptions=True)
        assert (await page.get("/")).status == 200


async def test_a_queue_that_is_full_ends_its_client() -> None:
    client = feeds.Client()
    assert all(client.put(b"x") for _ in range(feeds.MAX_WAITING))
    assert not client.put(b"x")
    client.queue.put_nowait(None)


async def test_slow_heads_and_crowds_do_not_last(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    async with serve() as page:
        idle = [await page.connect() for _ in range(9)]
        for _, writer in idle:
            writer.write(b"GET / HT")
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*(reader.read() for reader, _ in idle), return_exceptions=True)
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        assert (await page.get("/")).status == 200


async def test_streams_are_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 2)
    async with serve() as page:
        streams = [await page.listen() for _ in range(2)]
        assert (await page.get("/events")).status == 503
        streams[0][1].close()
        for _ in range(100):
            try:
                await page.listen()
                break
            except AssertionError:  # the place is not free yet
                await asyncio.sleep(0.05)
        else:
            pytest.fail("the place of a client that has gone stays taken")


async def test_idle_connections_do_not_hide_the_page(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_SECONDS", 600.0)
    async with serve() as page:
        for number in range(3 * connections.MAX_CONNECTIONS):
            _, writer = await page.connect()
            if number % 2:
                writer.write(b"GET / HT")
        for path in ("/", "/app.js", "/style.css", "/charts.js"):
            assert (await page.get(path)).status == 200
        assert (await message((await page.listen())[0]))[0] == "all"


async def test_streams_that_nobody_reads_do_not_hide_the_page(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as page:
        streams = [await page.listen() for _ in range(module.MAX_STREAMS)]
        assert (await page.get("/events")).status == 503
        monkeypatch.setattr(module, "LEAST_STAY_SECONDS", 0.0)
        reader, _ = await page.listen()
        assert (await message(reader))[0] == "all"
        async with asyncio.timeout(60):
            assert b"retry: 30000" in await streams[0][0].read()
        page.tell(event="checkpoint", step=5)
        assert (await message(reader))[0] == "update"


async def test_a_client_that_talks_in_a_stream_is_let_go(serve: Serve) -> None:
    async with serve() as page:
        reader, writer = await page.listen()
        await message(reader)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(60):
            assert await reader.read() == b""


async def test_a_mistake_in_the_view_ends_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail(_: object) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise ZeroDivisionError

    async with serve() as page:
        with monkeypatch.context() as broken:
            broken.setattr("btard.coordinator.dashboard.model.RunModel.sections", fail)
            reader, _ = await page.listen()
            async with asyncio.timeout(60):
                await failed.wait()
            assert (await page.get("/")).status == 200
        assert (await message(reader))[0] == "all"
