"""Passing on what two peers say that cannot dial each other: this peer's side of libp2p's circuits (version 2).

p2pd has a relay of its own, for anybody, without a bound on what that costs, and with limits that depend on what its
threads do first. So this one takes its place. It needs no reservations: it passes on to peers that it has a direct
connection with, mostly for members, and what it reads for a peer is paid by that one's budget, as all that it sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from btard.identity import PeerId
from btard.transport.libp2p.control import ControlSocket, DaemonError, read_message, varint
from btard.transport.libp2p.gate import Gates
from btard.transport.libp2p.pipe import Expects, Parser, Pipe, StreamLost, StreamViolation
from btard.transport.libp2p.probing import message_field, message_fields
from btard.transport.libp2p.settings import Limits

logger = logging.getLogger(__name__)

HOP_PROTOCOL = "/libp2p/circuit/relay/0.2.0/hop"
"""By which a peer asks for a circuit."""

_STOP_PROTOCOL = "/libp2p/circuit/relay/0.2.0/stop"
_RESERVE, _CONNECT, _HOP_STATUS = 0, 1, 2
_STOP_CONNECT = 0
_TYPE, _PEER, _ID = 1, 2, 1
_HOP_ANSWER, _STOP_ANSWER = 5, 4
_OK, _TOO_MANY, _NOT_REACHED, _NOT_HERE, _MALFORMED = 100, 201, 203, 204, 400
_LONGEST_MESSAGE = 4096
_PIECE = 64 << 10
_BACKLOG = 1 << 20
"""Bytes that may wait for the other side before no more are read."""


class RelayServer:
    """Joins two streams to a circuit, and reads each only as fast as the other side takes it."""

    def __init__(self, control: ControlSocket, gates: Gates, limits: Limits) -> None:
        self._control = control
        self._gates = gates
        self._limits = limits
        self._open: Counter[bool] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def parse(self, pipe: Pipe, sender: PeerId) -> Parser:
        """Read what a peer wants of a relay, and pass on what it says to the one that it wants to reach."""
        loop = asyncio.get_running_loop()
        pipe.expects, pipe.deadline = Expects.REST, loop.time() + self._limits.request_timeout
        asked = bytearray()
        yield from read_message(asked.extend, most=_LONGEST_MESSAGE)
        pipe.expects, pipe.deadline = Expects.FRAME, float("inf")
        stranger = self._gates.stranger(sender)
        if self._open[stranger] >= (self._limits.stranger_circuits if stranger else self._limits.circuits):
            self._refuse(pipe, _TOO_MANY)
            return
        circuit = _Circuit(pipe)
        self._open[stranger] += 1
        task = asyncio.create_task(self._connect(circuit, sender, bytes(asked)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            yield from circuit.pass_on(lambda: circuit.far)
        finally:
            self._open[stranger] -= 1
            task.cancel()
            circuit.end()

    async def close(self) -> None:
        """Connect nobody any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, circuit: _Circuit, sender: PeerId, asked: bytes) -> None:
        try:
            wanted = _wanted(asked)
        except ValueError:
            self._refuse(circuit.near, _MALFORMED)
            return
        if wanted is None:
            circuit.near.write_now(_hop_status(_OK))  # a reservation, which nobody needs here
            return
        seconds = self._limits.head_start
        try:
            far = await self._reach(circuit, sender, wanted, seconds)
            gate = self._gates.of(sender, asks=True)
            far.on_read = lambda _, size, spent: gate.spend(spent)
            await far.write(_stop_connect(sender), seconds)
            await asyncio.wait({circuit.answered}, timeout=seconds)
            if not circuit.joined:
                self._refuse(circuit.near, _NOT_REACHED)
        except (DaemonError, StreamLost) as error:
            logger.debug("no circuit from %s to %s: %s", sender.short, wanted.short, error)
            self._refuse(circuit.near, _NOT_HERE)

    async def _reach(self, circuit: _Circuit, sender: PeerId, wanted: PeerId, seconds: float) -> Pipe:
        """Return a stream to another peer to which a direct connection stands; raises DaemonError."""
        neighbours = await self._control.neighbours(seconds)
        direct = {one.peer for one in neighbours if one.relay is None}
        if wanted not in direct - {sender}:
            raise DaemonError("no connection")
        far = await self._control.open_stream(
            wanted, _STOP_PROTOCOL, lambda _: circuit.answer(), seconds, lambda _: circuit.end()
        )
        circuit.far = far
        if far.relay is not None:
            raise DaemonError("it is reached over a relay itself")
        return far

    def _refuse(self, pipe: Pipe, status: int) -> None:
        if pipe.write_now(_hop_status(status)):
            pipe.close()


class _Circuit:
    """Two streams, and what is read from each is written to the other.

    Attributes:
        near: from the peer that has asked.
        far: to the one that it wants to reach, once there is one.
        joined: whether both have been told.
        answered: once the far side has said whether it takes the circuit.
    """

    def __init__(self, near: Pipe) -> None:
        self.near = near
        self.far: Pipe | None = None
        self.joined = False
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self) -> Parser:
        """Read what the far side answers, and then pass on what it says, which it does at once."""
        said = bytearray()
        yield from read_message(said.extend, most=_LONGEST_MESSAGE)
        try:
            self.joined = (_STOP_ANSWER, _OK) in list(message_fields(bytes(said)))
        except ValueError:
            raise StreamViolation("no answer about a circuit") from None
        finally:
            self.answered.cancel()
        if self.joined:
            self.near.write_now(_hop_status(_OK))
        yield from self.pass_on(lambda: self.near)

    def pass_on(self, to: Callable[[], Pipe | None]) -> Parser:
        """Pass on what comes to the other side; raises StreamViolation where there is none yet."""
        piece = memoryview(bytearray(_PIECE))
        while True:
            count = yield piece
            other = to()
            if other is None or not self.joined:
                raise StreamViolation("speaks before the circuit is joined")
            if not other.write_now(bytes(piece[:count])):
                return self.end()
            if other.unwritten > _BACKLOG:
                source = self.near if other is self.far else self.far
                if source is not None:
                    source.pause()
                    other.when_drained(source.resume)

    def end(self) -> None:
        """Close both sides."""
        self.answered.cancel()
        for pipe in (self.near, self.far):
            if pipe is not None:
                pipe.abort()


def _wanted(asked: bytes) -> PeerId | None:
    """Return the peer that a HopMessage wants to reach, None for a wish to be reached; raises ValueError."""
    fields = dict(message_fields(asked))
    if fields.get(_TYPE) == _RESERVE:
        return None
    peer = fields.get(_PEER)
    if fields.get(_TYPE) != _CONNECT or not isinstance(peer, bytes):
        raise ValueError("no request of a circuit")
    return PeerId.of(dict(message_fields(peer)).get(_ID, b""))


def _hop_status(status: int) -> bytes:
    """Return the protobuf HopMessage{type: STATUS, status}, with its length: without a limit."""
    body = bytes([_TYPE << 3, _HOP_STATUS, _HOP_ANSWER << 3]) + varint(status)
    return varint(len(body)) + body


def _stop_connect(source: PeerId) -> bytes:
    """Return the protobuf StopMessage{type: CONNECT, peer: {id}}, with its length: without a limit."""
    body = bytes([_TYPE << 3, _STOP_CONNECT]) + message_field(_PEER, message_field(_ID, bytes(source)))
    return varint(len(body)) + body
