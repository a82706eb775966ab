"""Requests with large answers: one stream a request, both directions capped, few answers at a time.

On the wire: request length (4 bytes) and request; then one status byte, and after OK the answer's length (8 bytes) and
the answer.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

from btard.identity import PeerId
from btard.transport.base import Payload
from btard.transport.libp2p.control import ControlSocket, DaemonError
from btard.transport.libp2p.incoming import FETCH_PROTOCOL
from btard.transport.libp2p.pipe import Parser, Pipe, StreamLost, Violation, fill
from btard.transport.libp2p.settings import Counters, Limits

logger = logging.getLogger(__name__)

Serve = Callable[[PeerId, bytes], Awaitable[Payload | None]]
"""Answers a request of a peer with bytes, or None to refuse. They must not change while they are sent."""

_REQUEST = struct.Struct(">I")
_ANSWER = struct.Struct(">Q")
_OK, _REFUSED, _BUSY = 0, 1, 2


class FetchError(Exception):
    """A fetch failed: the peer is unreachable, refused, is busy, answered too much, or was too slow."""


class Unreachable(FetchError):
    """No stream could be opened to the peer."""


class FetchServer:
    """Answers what others fetch from us."""

    def __init__(self, serve: Serve | None, limits: Limits, counters: Counters) -> None:
        self.serve = serve
        self._limits = limits
        self._counters = counters
        self._running: Counter[PeerId] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running.total()

    def parse(self, pipe: Pipe, sender: PeerId) -> Parser:
        """Read one request and start answering it."""
        prefix = bytearray(_REQUEST.size)
        yield from fill(memoryview(prefix))
        (length,) = _REQUEST.unpack(prefix)
        if length > self._limits.request_bytes:
            raise Violation(f"{sender.short} announces a request of {length} bytes")
        request = bytearray(length)
        yield from fill(memoryview(request))
        pipe.idle = True  # from here on our own deadlines for answering apply
        task = asyncio.create_task(self._answer(pipe, sender, bytes(request)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        yield memoryview(bytearray(1))
        raise Violation(f"{sender.short} sent more than its request")

    async def close(self) -> None:
        """Stop answering."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, pipe: Pipe, sender: PeerId, request: bytes) -> None:
        running = self._running
        busy = running[sender] >= self._limits.serves_per_peer or running.total() >= self._limits.serves_total
        running[sender] += 1
        try:
            if busy:
                await pipe.write(bytes([_BUSY]), self._limits.stall_timeout)
            else:
                await self._write_answer(pipe, sender, request)
        except StreamLost as error:
            logger.debug("answering %s: %s", sender.short, error)
        finally:
            running[sender] -= 1
            if not running[sender]:
                del running[sender]
            pipe.close()

    async def _write_answer(self, pipe: Pipe, sender: PeerId, request: bytes) -> None:
        payload: Payload | None = None
        if self.serve is not None:
            try:
                async with asyncio.timeout(self._limits.serve_timeout):
                    payload = await self.serve(sender, request)
            except TimeoutError:
                logger.warning("no answer for %s within %g s", sender.short, self._limits.serve_timeout)
            except Exception:
                logger.exception("answering a fetch of %s failed", sender.short)
        if payload is None:
            await pipe.write(bytes([_REFUSED]), self._limits.stall_timeout)
            return
        await pipe.write(bytes([_OK]) + _ANSWER.pack(len(payload)), self._limits.stall_timeout)
        await pipe.write(payload, self._limits.stall_timeout)
        await pipe.finish(self._limits.stall_timeout)
        self._counters.bytes_sent += len(payload)


async def fetch(
    control: ControlSocket, peer: PeerId, request: bytes, *, limit: int, timeout: float, open_timeout: float
) -> bytes:
    """Return what `peer` answers to `request`.

    Args:
        control: the own daemon.
        peer: whom to ask.
        request: at most 64 KiB.
        limit: the largest answer accepted, in bytes; announced larger ones are refused before anything is allocated.
        timeout: seconds for everything.
        open_timeout: seconds of it for reaching the peer.

    Raises:
        FetchError: unreachable, refused, busy, too large, broken, or too slow.
    """
    answer: asyncio.Future[bytearray] = asyncio.get_running_loop().create_future()

    def fail(reason: str) -> None:
        if not answer.done():
            answer.set_exception(FetchError(reason))

    def parse(_: Pipe) -> Parser:
        status = bytearray(1)
        yield from fill(memoryview(status))
        if status[0] != _OK:
            fail({_REFUSED: "the peer has no answer", _BUSY: "the peer is busy"}.get(status[0], "no valid answer"))
            return
        head = bytearray(_ANSWER.size)
        yield from fill(memoryview(head))
        (length,) = _ANSWER.unpack(head)
        if length > limit:
            fail(f"the answer has {length} bytes where at most {limit} are allowed")
            return
        data = bytearray(length)
        yield from fill(memoryview(data))
        if not answer.done():
            answer.set_result(data)

    pipe: Pipe | None = None
    try:
        async with asyncio.timeout(timeout):
            pipe = await control.open_stream(
                peer, FETCH_PROTOCOL, parse, min(open_timeout, timeout), lambda _: fail("the peer closed the stream")
            )
            await pipe.write(_REQUEST.pack(len(request)) + request, timeout)
            return bytes(await answer)
    except TimeoutError:
        raise FetchError(f"no complete answer within {timeout:g} s") from None
    except DaemonError as error:
        raise Unreachable(str(error)) from None
    except StreamLost as error:
        raise FetchError(str(error)) from None
    finally:
        answer.cancel()  # closing the stream below must not fail a future that nobody waits for
        if pipe is not None:
            pipe.abort()
        if answer.done() and not answer.cancelled():
            answer.exception()  # else asyncio reports an exception of a fetch that timed out as never retrieved
