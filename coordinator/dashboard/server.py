"""What the dashboard answers browsers: the page, its stream of events, and files of evidence."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import Counter
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from btard.coordinator.dashboard.feed import Feed
from btard.swarm.http.guard import SECURITY_HEADERS, PageGuard
from btard.swarm.http.messages import Request, Response, encode_head
from btard.swarm.http.server import CHUNK, LEAST_STAY_SECONDS, Connection, HttpServer

MAX_STREAMS = 24
"""Listening browsers; one more takes the place of the one that has had it longest, or is told to come again."""

_COME_BACK = b"retry: 30000\n\n"
"""Told to a browser whose place was taken: it must not take another one's at once."""

HEARTBEAT_SECONDS = 15.0
"""Seconds after which a quiet stream says that it is alive."""

MAX_EVIDENCE = 64 << 20
"""Bytes of a file of evidence that is handed out."""

_ASSETS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_EVIDENCE = re.compile(r"^/evidence/([A-Za-z0-9][A-Za-z0-9_.-]{0,200}\.json)$")


def load_assets() -> dict[str, Response]:
    """Return the files of the page by path."""
    folder = files("btard.coordinator.dashboard") / "assets"
    return {
        path: Response(HTTPStatus.OK, (folder / name).read_bytes(), content_type)
        for path, (name, content_type) in _ASSETS.items()
    }


class _Place:
    """Of a listening browser: since when it has it, in seconds of the event loop, and whether another has taken it."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.taken = asyncio.Event()


class DashboardServer:
    """Serves the page, its stream of events, and files of evidence."""

    def __init__(self, feed: Feed, guard: PageGuard, bans: Path) -> None:
        """`bans`: directory of the evidence."""
        self._feed = feed
        self._bans = bans
        self._assets = load_assets()
        self._streams: dict[Connection, _Place] = {}
        self._server = HttpServer("the dashboard", guard, self._answer)

    async def start(self, sock: socket.socket) -> None:
        """Answer on a listening socket."""
        await self._server.start(sock)

    async def close(self) -> None:
        """Stop answering; clients have a moment to take what they have been sent."""
        await self._server.close()

    async def _answer(self, request: Request, connection: Connection) -> None:
        match = _EVIDENCE.match(request.path)
        if request.path == "/events":
            await self._stream(connection)
        elif match is not None and self._feed.has_evidence(match[1]):
            await self._evidence(match[1], connection)
        else:
            missing = Response(HTTPStatus.NOT_FOUND, b"there is no such page\n")
            await connection.send(self._assets.get(request.path, missing))

    async def _evidence(self, name: str, connection: Connection) -> None:
        """Send a file that a ban names, in pieces, as the client takes them."""
        path = self._bans / name
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            file = await asyncio.to_thread(path.open, "rb")
        except OSError:
            await connection.send(Response(HTTPStatus.NOT_FOUND, b"this evidence is not here\n"))
            return
        with file:
            size = min(size, MAX_EVIDENCE)
            disposition = ("Content-Disposition", f'attachment; filename="{name}"')
            headers = (disposition, *SECURITY_HEADERS)
            await connection.write(encode_head(HTTPStatus.OK, "application/json", headers, size))
            while size > 0 and (chunk := await asyncio.to_thread(file.read, min(size, CHUNK))):
                size -= len(chunk)
                await connection.write(chunk)

    async def _stream(self, connection: Connection) -> None:
        """Send events until the client goes, says anything more, or does not keep up."""
        if len(self._streams) >= MAX_STREAMS and not self._made_room():
            await connection.send(Response(HTTPStatus.SERVICE_UNAVAILABLE, b"too many pages are open\n"))
            return
        place = self._streams[connection] = _Place(asyncio.get_running_loop().time())
        client = self._feed.join()
        talking = asyncio.ensure_future(connection.more())
        sending = asyncio.ensure_future(_send_events(client.queue, connection))
        taken = asyncio.ensure_future(place.taken.wait())
        try:
            await asyncio.wait({talking, sending, taken}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._streams.pop(connection, None)
            self._feed.leave(client)
            for task in (talking, sending, taken):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(talking, sending, taken, return_exceptions=True)
        if place.taken.is_set():
            await connection.write(_COME_BACK)

    def _made_room(self) -> bool:
        """Let go of a listening browser that has had its place for long, of the address that has most of them.

        A client that reads nothing cannot be told from one that reads while the run has little to tell.
        """
        now = asyncio.get_running_loop().time()
        held = Counter(connection.address for connection in self._streams)
        losers = [one for one, place in self._streams.items() if now - place.since >= LEAST_STAY_SECONDS]
        if not losers:
            return False
        self._streams.pop(max(losers, key=lambda one: held[one.address])).taken.set()
        return True


async def _send_events(queue: asyncio.Queue[bytes | None], connection: Connection) -> None:
    head = encode_head(HTTPStatus.OK, "text/event-stream", SECURITY_HEADERS, None)
    await connection.write(head + b"retry: 2000\n\n")
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                message = await queue.get()
        except TimeoutError:
            message = b": still here\n\n"
        if message is None:
            return
        await connection.write(message)
