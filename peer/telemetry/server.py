"""Answers HTTP. Clients are strangers: each has a bounded number of bytes, seconds and places."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from peer.telemetry.guard import SECURITY_HEADERS, Guard
from peer.telemetry.http import MAX_HEAD, BadRequest, Request, Response, encode_head, read_request

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Connections at the same time; the next ones are turned away."""

HEAD_TIMEOUT = 5.0
"""Seconds in which a request must have come."""

WRITE_TIMEOUT = 10.0
"""Seconds in which a client must take what it is sent."""

CHUNK = 64 << 10
"""Bytes that wait to be taken by a client."""


class Connection:
    """A client whose request has been read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, response: Response) -> None:
        """Send an answer as a whole."""
        headers = (*response.headers, *SECURITY_HEADERS)
        head = encode_head(response.status, response.content_type, headers, len(response.body))
        await self.write(head + response.body)

    async def write(self, data: bytes) -> None:
        """Send bytes; raises TimeoutError when the client does not take them."""
        self._writer.write(data)
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._writer.drain()

    async def more(self) -> None:
        """Return when the client goes, or says anything more."""
        await self._reader.read(1)


Answer = Callable[[Request, Connection], Awaitable[None]]
"""Answers a request that the guard lets through."""


class HttpServer:
    """Reads a request a connection, refuses what must be refused, and lets `answer` do the rest.

    Args:
        name: what has failed, where the log tells of a mistake in answering.
    """

    def __init__(self, name: str, guard: Guard, answer: Answer) -> None:
        self._name = name
        self._guard = guard
        self._answer = answer
        self._connections: set[asyncio.Task[None]] = set()
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
            writer.transport.set_write_buffer_limits(high=CHUNK)
            await self._respond(reader, Connection(reader, writer))
            writer.close()
            async with asyncio.timeout(WRITE_TIMEOUT):
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # clients come and go
        except Exception:  # a mistake here must not end the run
            logger.exception("%s failed to answer", self._name)
        finally:
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        try:
            request = await read_request(reader, HEAD_TIMEOUT)
        except BadRequest as error:
            headers = (("Allow", "GET"),) if error.status is HTTPStatus.METHOD_NOT_ALLOWED else ()
            await connection.send(Response(error.status, f"{error}\n".encode(), headers=headers))
            return
        refusal = self._guard.check(request)
        if refusal is not None:
            await connection.send(refusal)
        else:
            await self._answer(request, connection)
