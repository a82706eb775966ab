"""One local socket to p2pd that carries one libp2p stream: received bytes land where they will stay.

A parser is a generator. It yields the buffer that the next bytes go to, and is resumed with how many of them arrived,
so that a part is received straight into its final place and hashed while it arrives, with nothing buffered in between.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable, Generator
from enum import Enum, auto
from math import inf
from time import thread_time
from typing import cast

from btard.identity import PeerId

logger = logging.getLogger(__name__)

Parser = Generator[memoryview, int, None]

WRITE_CHUNK = 512 << 10
"""Bytes handed to the socket at a time: the granularity at which a stalled reader is noticed."""

_SOCKET_BUFFER = 512 << 10


class StreamViolation(Exception):
    """The other side sent what the protocol does not allow; the stream is closed."""


class Expects(Enum):
    """What a stream's parser waits for."""

    FRAME = auto()
    """The beginning of something: silence is no stall."""
    REST = auto()
    """The rest of something."""
    NOTHING = auto()
    """The other side has asked, and is being answered."""


class StreamLost(ConnectionError):
    """The stream broke, stalled or could not be opened."""


def fill(view: memoryview) -> Parser:
    """Parse exactly `len(view)` bytes into `view`."""
    done = 0
    while done < len(view):
        done += yield view[done:]


class Pipe(asyncio.BufferedProtocol):
    """Both halves of a stream. Reading is driven by the parser; writing waits with a deadline."""

    def __init__(self, make_parser: Callable[[Pipe], Parser], on_lost: Callable[[Pipe], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = make_parser(self)
        self._on_lost = on_lost
        self._target: memoryview | None = None
        self._drained: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.lost = False
        self.relay: PeerId | None = None
        """Over which peer an own stream goes; None for a direct connection."""
        self.expects = Expects.FRAME
        """Set by the parser."""
        self.deadline = inf
        """Set by the parser: event-loop time in seconds by which it must be through with what it is at."""
        self.progress_at = self._loop.time()
        """Event-loop time in seconds at which the last bytes arrived, or at which reading was resumed."""
        self.paused = False
        self.on_read: Callable[[Pipe, int, float], None] | None = None
        """Is told, after each read, how many bytes it was and how many seconds of this thread their parsing took."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        self._transport.set_write_buffer_limits(high=WRITE_CHUNK, low=WRITE_CHUNK // 4)
        self._advance(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        assert self._target is not None
        return self._target

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what has come, and tell `on_read` how many bytes and seconds that was."""
        self.progress_at = self._loop.time()
        if self.on_read is None:
            self._advance(nbytes)
            return
        began = thread_time()
        self._advance(nbytes)
        self.on_read(self, nbytes, thread_time() - began)

    def _advance(self, received: int | None) -> None:
        try:
            self._target = next(self._parser) if received is None else self._parser.send(received)
            while not len(self._target):
                self._target = self._parser.send(0)
        except StopIteration:
            self._target = None
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()
        except StreamViolation as error:
            logger.debug("closing a stream: %s", error)
            self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss, let a writer that waits see it, and tell the callback, if there is one."""
        self.lost = True
        self._closed.set_result(None)
        self._parser.close()
        self._target = None
        self.resume_writing()  # so that a writer which waits sees the loss
        if self._on_lost is not None:
            self._on_lost(self)

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call once what waits to be written has shrunk, or is lost; at once if it has."""
        if self._drained is None:
            call()
        else:
            self._drained.add_done_callback(lambda _: call())

    def abort(self) -> None:
        """Close at once; what is not yet written is lost."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def pause(self) -> None:
        """Read nothing more for now: a flooding peer is slowed down by its own full buffers."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self.paused = True
            transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        transport = self._transport
        if not self.paused or transport is None:
            return
        self.paused = False
        self.progress_at = self._loop.time()
        if not transport.is_closing() and self._target is not None:
            transport.resume_reading()

    @property
    def unwritten(self) -> int:
        """Bytes that were written but have not left this process."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def ready(self) -> bool:
        """Whether the stream is open and takes more without waiting."""
        open_ = not self.lost and self._transport is not None and not self._transport.is_closing()
        return open_ and self._drained is None

    def write_now(self, view: bytes | bytearray | memoryview) -> bool:
        """Hand bytes to the socket, which keeps what it cannot take yet: what is short, while the stream is `ready`.

        Returns whether the stream was open before. It may break under any bytes, those before these included.
        """
        if self.lost or self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(view)
        return True

    async def write(self, view: bytes | bytearray | memoryview, period_seconds: float, least: int = 1) -> None:
        """Write all of `view` without copying it; so it must not change for a while after this returns.

        Args:
            view: the bytes.
            period_seconds: in each such time the other side must take `least` bytes, or all there are; else the stream
                is given up.
            least: bytes; by default it is enough that any move.

        Raises:
            StreamLost: the stream broke or stalled.
        """
        whole = memoryview(view)
        for start in range(0, len(whole), WRITE_CHUNK):
            if not self.write_now(whole[start : start + WRITE_CHUNK]):
                raise StreamLost("the stream is closed")
            if self._drained is not None:
                await self._wait_for(self._drained, period_seconds, least)
                if self.lost:
                    raise StreamLost("the stream broke")

    async def _wait_for(self, done: asyncio.Future[None], period_seconds: float, least: int) -> None:
        while not done.done():
            left = self.unread
            await asyncio.wait({done}, timeout=period_seconds)
            # A slow link may need several periods for a chunk; only one that moves less than it must is given up.
            if not done.done() and left - self.unread < least:
                self.abort()
                amount = "nothing for" if least <= 1 else f"less than {least} bytes in"
                raise StreamLost(f"the other side read {amount} {period_seconds:g} s")

    @property
    def unread(self) -> int:
        """Bytes written that p2pd has not read."""
        # A unix socket is writable again only when three quarters of it are read, which can take a slow link longer
        # than a stall may last; so the kernel's own queue counts too.
        if self._transport is None:
            return 0
        queued = bytearray(4)
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        except (OSError, ValueError) as error:
            logger.debug("the socket does not tell its queue: %s", error)
        return self.unwritten + int.from_bytes(queued, sys.byteorder)

    async def finish(self, period_seconds: float, least: int = 1) -> None:
        """Close once what was written has left; raises StreamLost when it does not, as `write` does."""
        self.close()
        if self._transport is not None:
            await self._wait_for(self._closed, period_seconds, least)
