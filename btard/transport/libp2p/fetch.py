"""Requests and answers: one stream a request, both directions capped, few large answers at a time.

On the wire: request length (4 bytes) and request; then one status byte, and after OK the answer's length (8 bytes) and
the answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from btard.hashing import Payload
from btard.identity import PeerId
from btard.transport.libp2p.budget import Budget
from btard.transport.libp2p.control import ControlSocket, DaemonError
from btard.transport.libp2p.gate import Gates
from btard.transport.libp2p.incoming import FETCH_PROTOCOL
from btard.transport.libp2p.measured import measured
from btard.transport.libp2p.pipe import WRITE_CHUNK, Expects, Parser, Pipe, StreamLost, StreamViolation, fill
from btard.transport.libp2p.settings import Counters, Limits
from btard.transport.libp2p.slots import Slot, slots_of

logger = logging.getLogger(__name__)

Serve = Callable[[PeerId, bytes], Awaitable[Payload | None]]
"""Answers a request of a peer with bytes, or None to refuse. They must not change while they are sent."""

IsLarge = Callable[[bytes], bool]
"""Whether the answer to a request is large or takes long to make, so that it needs a slot before anything is done."""

_REQUEST = struct.Struct(">I")
_ANSWER = struct.Struct(">Q")
_OK, _REFUSED, _BUSY = 0, 1, 2


class FetchError(Exception):
    """A fetch failed: the peer is unreachable, refused, is busy, answered too much, or was too slow."""


class Unreachable(FetchError):
    """No stream could be opened to the peer."""


class Busy(FetchError):
    """The peer asks to be asked again later."""


class FetchServer:
    """Answers what others fetch from us.

    What is small is answered at once; what is large, or takes long to make, needs a slot. Members have slots of their
    own in both, so that nobody but themselves can take them.
    """

    def __init__(self, limits: Limits, counters: Counters, gates: Gates) -> None:
        self.serve: Serve | None = None
        self.is_large: IsLarge | None = None
        self._limits = limits
        self._counters = counters
        self._gates = gates
        self._members, self._strangers = slots_of(limits)
        self._working: Counter[PeerId] = Counter()
        self._guests = 0
        self._open: Counter[PeerId] = Counter()
        self._upload = Budget(limits.stranger_upload, limits.stranger_upload)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._open.total()

    def parse(self, pipe: Pipe, sender: PeerId) -> Parser:
        """Read one request and start answering it."""
        pipe.expects = Expects.REST
        pipe.deadline = asyncio.get_running_loop().time() + self._limits.request_timeout
        prefix = bytearray(_REQUEST.size)
        yield from fill(memoryview(prefix))
        (length,) = _REQUEST.unpack(prefix)
        if length > self._limits.request_bytes:
            raise StreamViolation(f"{sender.short} announces a request of {length} bytes")
        request = bytearray(length)
        yield from fill(memoryview(request))
        pipe.expects, pipe.deadline = Expects.NOTHING, math.inf  # our own deadlines for answering apply from here on
        spend = partial(self._spend, sender)
        task = asyncio.create_task(measured(partial(self._answer, pipe, sender, bytes(request)), spend))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        yield memoryview(bytearray(1))
        raise StreamViolation(f"{sender.short} sent more than its request")

    async def close(self) -> None:
        """Stop answering."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spend(self, sender: PeerId, seconds: float) -> None:
        self._gates.of(sender, asks=True).spend(seconds)

    async def _answer(self, pipe: Pipe, sender: PeerId, request: bytes) -> None:
        stranger = self._gates.stranger(sender)
        slots = self._strangers if stranger else self._members
        slot: Slot | None = None
        self._open[sender] += 1
        try:
            large = self.is_large is not None and self.is_large(request)
            if large:
                slot = slots.take(sender, pipe.abort)
            if self._open[sender] > self._limits.requests_per_peer or (large and slot is None):
                await self._refuse(pipe, _BUSY)
                return
            if large:
                payload = await self._made(sender, request)
            elif self._may_ask(sender, stranger):
                payload = await self._worked(sender, request, stranger)
            else:
                await self._refuse(pipe, _BUSY)
                return
            if payload is None:
                await self._refuse(pipe, _REFUSED)
            elif len(payload) <= self._limits.small_answer:
                await self._write(pipe, payload, stranger=False)
            elif (slot := slot or slots.take(sender, pipe.abort)) is None:
                await self._refuse(pipe, _BUSY)
            else:
                slots.fill(slot, payload)
                async with asyncio.timeout(self._limits.answer_timeout):
                    await self._write(pipe, payload, stranger=stranger)
        except (StreamLost, TimeoutError) as error:
            logger.debug("answering %s: %s", sender.short, error)
            self._counters.answers_lost += slot is not None
        finally:
            if slot is not None:
                slots.free(slot)
            self._open[sender] -= 1
            if not self._open[sender]:
                del self._open[sender]
            pipe.close()

    def _may_ask(self, sender: PeerId, stranger: bool) -> bool:
        full = stranger and self._guests >= self._limits.requests_total
        return not full and self._working[sender] < self._limits.serves_per_peer

    async def _worked(self, sender: PeerId, request: bytes, stranger: bool) -> Payload | None:
        """Make an answer that is expected to be small."""
        self._working[sender] += 1
        self._guests += stranger
        try:
            return await self._made(sender, request)
        finally:
            self._guests -= stranger
            self._working[sender] -= 1
            if not self._working[sender]:
                del self._working[sender]

    async def _made(self, sender: PeerId, request: bytes) -> Payload | None:
        if self.serve is None:
            return None
        try:
            async with asyncio.timeout(self._limits.serve_timeout):
                return await self.serve(sender, request)
        except TimeoutError:
            logger.warning("no answer for %s within %g s", sender.short, self._limits.serve_timeout)
        except Exception:
            logger.exception("answering a fetch of %s failed", sender.short)
        return None

    async def _refuse(self, pipe: Pipe, status: int) -> None:
        self._counters.requests_refused += status == _BUSY
        await pipe.write(bytes([status]), self._limits.stall_timeout)

    async def _write(self, pipe: Pipe, payload: Payload, *, stranger: bool) -> None:
        """Write an answer as fast as it is read, and no faster than strangers together may be sent."""
        period = self._limits.reader_window_seconds
        least = int(period * self._limits.reader_rate)
        loop = asyncio.get_running_loop()
        await pipe.write(bytes([_OK]) + _ANSWER.pack(len(payload)), period)
        view = memoryview(payload)
        for start in range(0, len(view), WRITE_CHUNK):
            chunk = view[start : start + WRITE_CHUNK]
            if stranger:
                while (wait := self._upload.wait(loop.time())) > 0:  # noqa: ASYNC110 - others spend meanwhile
                    await asyncio.sleep(wait)
                self._upload.spend(loop.time(), len(chunk))
            await pipe.write(chunk, period, least)
        await pipe.finish(period, least)
        self._counters.bytes_sent += len(payload)


async def fetch(
    control: ControlSocket,
    peer: PeerId,
    request: bytes,
    *,
    limit: int,
    timeout_seconds: float,
    open_timeout_seconds: float,
) -> bytes:
    """Return what `peer` answers to `request`.

    Args:
        control: the own daemon.
        peer: the one to ask.
        request: at most 64 KiB.
        limit: the largest answer accepted, in bytes; announced larger ones are refused before anything is allocated.
        timeout_seconds: seconds for everything.
        open_timeout_seconds: seconds of it for reaching the peer.

    Raises:
        FetchError: unreachable, refused, busy, too large, broken, or too slow.
    """
    answer: asyncio.Future[bytearray] = asyncio.get_running_loop().create_future()

    def fail(error: FetchError) -> None:
        if not answer.done():
            answer.set_exception(error)

    def parse(_: Pipe) -> Parser:
        status = bytearray(1)
        yield from fill(memoryview(status))
        if status[0] != _OK:
            fail(_refusal(status[0]))
            return
        head = bytearray(_ANSWER.size)
        yield from fill(memoryview(head))
        (length,) = _ANSWER.unpack(head)
        if length > limit:
            fail(FetchError(f"the answer has {length} bytes where at most {limit} are allowed"))
            return
        data = bytearray(length)
        yield from fill(memoryview(data))
        if not answer.done():
            answer.set_result(data)

    pipe: Pipe | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            pipe = await control.open_stream(
                peer,
                FETCH_PROTOCOL,
                parse,
                min(open_timeout_seconds, timeout_seconds),
                lambda _: fail(FetchError("the peer closed the stream")),
            )
            await pipe.write(_REQUEST.pack(len(request)) + request, timeout_seconds)
            return bytes(await answer)
    except TimeoutError:
        raise FetchError(f"no complete answer within {timeout_seconds:g} s") from None
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


def _refusal(status: int) -> FetchError:
    if status == _BUSY:
        return Busy("the peer is busy")
    return FetchError("the peer has no answer" if status == _REFUSED else "no valid answer")
