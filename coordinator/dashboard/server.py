"""Answers browsers. Clients are strangers: each has a bounded number of bytes, seconds and places."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from coordinator.dashboard.feed import Feed
from coordinator.dashboard.http import MAX_HEAD, BadRequest, Request, Response, encode_head, read_request
from coordinator.dashboard.security import SECURITY_HEADERS, Guard

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Connections at the same time; the next ones are turned away."""

MAX_STREAMS = 24
"""Listening browsers among them."""

HEAD_TIMEOUT = 5.0
"""Seconds in which a request must have come."""

WRITE_TIMEOUT = 10.0
"""Seconds in which a client must take what it is sent."""

HEARTBEAT = 15.0
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
_CHUNK = 64 << 10


def load_assets() -> dict[str, Response]:
    """Return the files of the page by path."""
    folder = files("coordinator.dashboard") / "assets"
    return {
        path: Response(HTTPStatus.OK, (folder / name).read_bytes(), content_type)
        for path, (name, content_type) in _ASSETS.items()
    }


class DashboardServer:
    """Serves the page, its stream of events, and files of evidence."""

    def __init__(self, feed: Feed, guard: Guard, bans: Path) -> None:
        """`bans`: directory of the evidence."""
        self._feed = feed
        self._guard = guard
        self._bans = bans
        self._assets = load_assets()
        self._connections: set[asyncio.Task[None]] = set()
        self._streams = 0
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Answer on a listening socket."""
        self._server = await asyncio.start_server(self._accept, sock=sock, limit=MAX_HEAD)

    async def close(self, patience: float = 1.0) -> None:
        """Stop answering; clients have a moment to take what they have been sent."""
        if self._server is not None:
            self._server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=patience)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.transport.set_write_buffer_limits(high=_CHUNK)
            await self._answer(reader, writer)
            writer.close()
            async with asyncio.timeout(WRITE_TIMEOUT):
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # clients come and go
        except Exception:  # a mistake here must not end the run
            logger.exception("the dashboard failed to answer")
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader, HEAD_TIMEOUT)
        except BadRequest as error:
            headers = (("Allow", "GET"),) if error.status is HTTPStatus.METHOD_NOT_ALLOWED else ()
            await self._send(writer, Response(error.status, f"{error}\n".encode(), headers=headers))
            return
        refusal = self._guard.check(request)
        if refusal is not None:
            await self._send(writer, refusal)
        elif request.path == "/events":
            await self._stream(reader, writer)
        else:
            await self._file(request, writer)

    async def _file(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match = _EVIDENCE.match(request.path)
        if match is not None and self._feed.has_evidence(match[1]):
            await self._evidence(match[1], writer)
            return
        missing = Response(HTTPStatus.NOT_FOUND, b"there is no such page\n")
        await self._send(writer, self._assets.get(request.path, missing))

    async def _evidence(self, name: str, writer: asyncio.StreamWriter) -> None:
        """Send a file that a ban names, in pieces, as the client takes them."""
        path = self._bans / name
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            file = await asyncio.to_thread(path.open, "rb")
        except OSError:
            await self._send(writer, Response(HTTPStatus.NOT_FOUND, b"this evidence is not here\n"))
            return
        with file:
            size = min(size, MAX_EVIDENCE)
            disposition = ("Content-Disposition", f'attachment; filename="{name}"')
            headers = (disposition, *SECURITY_HEADERS)
            await _write(writer, encode_head(HTTPStatus.OK, "application/json", headers, size))
            while size > 0 and (chunk := await asyncio.to_thread(file.read, min(size, _CHUNK))):
                size -= len(chunk)
                await _write(writer, chunk)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send events until the client goes, says anything more, or does not keep up."""
        if self._streams >= MAX_STREAMS:
            await self._send(writer, Response(HTTPStatus.SERVICE_UNAVAILABLE, b"too many pages are open\n"))
            return
        self._streams += 1
        client = self._feed.join()
        talking = asyncio.ensure_future(reader.read(1))
        sending = asyncio.ensure_future(self._send_events(client.queue, writer))
        try:
            await asyncio.wait({talking, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._streams -= 1
            self._feed.leave(client)
            for task in (talking, sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(talking, sending, return_exceptions=True)

    async def _send_events(self, queue: asyncio.Queue[bytes | None], writer: asyncio.StreamWriter) -> None:
        head = encode_head(HTTPStatus.OK, "text/event-stream", SECURITY_HEADERS, None)
        await _write(writer, head + b"retry: 2000\n\n")
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    message = await queue.get()
            except TimeoutError:
                message = b": still here\n\n"
            if message is None:
                return
            await _write(writer, message)

    async def _send(self, writer: asyncio.StreamWriter, response: Response) -> None:
        headers = (*response.headers, *SECURITY_HEADERS)
        head = encode_head(response.status, response.content_type, headers, len(response.body))
        await _write(writer, head + response.body)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send bytes; raises TimeoutError when the client does not take them."""
    writer.write(data)
    async with asyncio.timeout(WRITE_TIMEOUT):
        await writer.drain()
