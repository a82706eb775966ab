"""Answers HTTP. Clients are strangers: each has a bounded number of bytes, seconds and places.

When all places are taken, a client that has asked nothing yet makes room for the next one: a browser asks at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from btard.swarm.http.guard import SECURITY_HEADERS, Guard
from btard.swarm.http.messages import MAX_HEAD, BadRequest, Request, Response, encode_head, read_request

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Connections at the same time."""

MAX_OF_ADDRESS = 48
"""Connections from one address at the same time, so that others have places left."""

HEAD_TIMEOUT_SECONDS = 5.0
"""Seconds in which a request must have come."""

LEAST_STAY_SECONDS = 10.0
"""Seconds for which a client that is being answered keeps its place."""

WRITE_TIMEOUT_SECONDS = 10.0
"""Seconds in which a client must take what it is sent."""

CHUNK = 64 << 10
"""Bytes that wait to be taken by a client."""


class Connection:
    """A client whose request has been read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def address(self) -> str:
        """The client's network address."""
        return _address(self._writer)

    async def send(self, response: Response) -> None:
        """Send an answer as a whole."""
        headers = (*response.headers, *SECURITY_HEADERS)
        head = encode_head(response.status, response.content_type, headers, len(response.body))
        await self.write(head + response.body)

    async def write(self, data: bytes) -> None:
        """Send bytes; raises TimeoutError when the client does not take them."""
        self._writer.write(data)
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            await self._writer.drain()

    async def more(self) -> None:
        """Return when the client goes, or says anything more."""
        await self._reader.read(1)


Answer = Callable[[Request, Connection], Awaitable[None]]
"""Answers a request that the guard lets through."""


class _Place:
    """What a client takes up: whose it is, and since when it is being answered, in seconds of the event loop."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.address = _address(writer)
        self.answered_since = math.inf
        self._writer = writer

    def give_up(self) -> None:
        """End the connection."""
        self._writer.transport.abort()


class HttpServer:
    """Reads a request a connection, refuses what must be refused, and lets `answer` do the rest.

    Args:
        name: what has failed, where the log tells of a mistake in answering.
    """

    def __init__(self, name: str, guard: Guard, answer: Answer) -> None:
        self._name = name
        self._guard = guard
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: dict[_Place, None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Answer on a listening socket."""
        self._server = await asyncio.start_server(self._accept, sock=sock, limit=MAX_HEAD)

    async def close(self, patience_seconds: float = 1.0) -> None:
        """Stop answering; clients have a moment to take what they have been sent."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = _Place(writer)
        if not self._has_room(place.address):
            place.give_up()
            return
        self._places[place] = None
        task = asyncio.ensure_future(self._serve(reader, writer, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _has_room(self, address: str) -> bool:
        """Whether there is a place for a client, which another may have to give up.

        It is the oldest of those that have asked for nothing yet, else the one that has been answered longest, if that
        is long; of the own address if that has as many as it may, else of the one that has most.
        """
        held = Counter(place.address for place in self._places)
        own = held[address] >= MAX_OF_ADDRESS
        if len(self._places) < MAX_CONNECTIONS and not own:
            return True
        those = [place for place in self._places if not own or place.address == address]
        silent = [place for place in those if place.answered_since == math.inf]
        until = asyncio.get_running_loop().time() - LEAST_STAY_SECONDS
        slow = sorted((p for p in those if p.answered_since <= until), key=lambda p: p.answered_since)
        if not (silent or slow):
            return False
        loser = max(silent or slow, key=lambda place: held[place.address])  # of equals the first, which is the oldest
        del self._places[loser]
        loser.give_up()
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: _Place) -> None:
        try:
            writer.transport.set_write_buffer_limits(high=CHUNK)
            await self._respond(reader, Connection(reader, writer), place)
            writer.close()
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # clients come and go
        except Exception:  # a mistake here must not end the run
            logger.exception("%s failed to answer", self._name)
        finally:
            self._places.pop(place, None)
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader, connection: Connection, place: _Place) -> None:
        request: Request | None = None
        try:
            request = await read_request(reader, HEAD_TIMEOUT_SECONDS)
        except BadRequest as error:
            headers = (("Allow", "GET"),) if error.status is HTTPStatus.METHOD_NOT_ALLOWED else ()
            refusal: Response | None = Response(error.status, f"{error}\n".encode(), headers=headers)
        else:
            refusal = self._guard.check(request)
        place.answered_since = asyncio.get_running_loop().time()
        if refusal is not None:
            await connection.send(refusal)
        elif request is not None:
            await self._answer(request, connection)


def _address(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return str(name[0]) if name else ""
