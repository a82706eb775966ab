"""Peers that cannot dial each other, such as two behind NATs of their own, talk over a third that both can dial.

libp2p's circuits (version 2) carry such a connection: it is encrypted and authenticated from end to end, so the relay
can but delay it or close it. A peer can be reached over those peers that hold a reservation of it. So every peer
reserves at a few that it has a direct connection with, long before anybody needs it, and whoever cannot dial it tries
just these: both rank the candidates by one hash. A peer that is dialled directly is never reached over a relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.transport.libp2p.control import ControlSocket, DaemonError, Neighbour, read_message, varint
from btard.transport.libp2p.pipe import StreamLost
from btard.transport.libp2p.probing import message_fields

logger = logging.getLogger(__name__)

RESERVATIONS = 3
"""Peers at which one peer reserves."""

MOST_TRIED = 8
"""Peers over which one that cannot be dialled is tried: the two sides need not know the same neighbours."""

_HOP = "/libp2p/circuit/relay/0.2.0/hop"
_RESERVE = bytes([1 << 3, 0])
"""The protobuf HopMessage{type: RESERVE}."""

_STATUS_FIELD, _OK = 5, 100
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_RENEW_SECONDS = 30.0
"""Seconds after which a reservation is made again: a relay forgets it with the connection, which may have come back
unnoticed."""


class Relays:
    """The reservations of this peer, and the peers over which others can be tried.

    Args:
        control: of the own p2pd.
        me: the own peer id.
        is_stranger: whether a peer is none that this one has dealings with; such are asked last.
    """

    def __init__(self, control: ControlSocket, me: PeerId, is_stranger: Callable[[PeerId], bool]) -> None:
        self._control = control
        self._me = me
        self._is_stranger = is_stranger
        self._reserved: dict[PeerId, float] = {}
        self._refused: dict[PeerId, float] = {}
        self._over: dict[PeerId, PeerId] = {}

    async def run(self) -> None:
        """Keep the reservations until cancelled."""
        while True:
            with contextlib.suppress(DaemonError):
                await self.reserve()
            await asyncio.sleep(_LOOK_SECONDS)

    async def reserve(self) -> None:
        """Reserve at the first neighbours in the own ranking, where that was not done lately.

        Raises:
            DaemonError: the own p2pd does not answer.
        """
        now = asyncio.get_running_loop().time()
        neighbours = await self._direct()
        self._refused = {peer: at for peer, at in self._refused.items() if now - at < _RENEW_SECONDS}
        chosen = self._ranked(self._me, neighbours - self._refused.keys())[:RESERVATIONS]
        self._reserved = {peer: at for peer, at in self._reserved.items() if peer in chosen}
        due = [peer for peer in chosen if now - self._reserved.get(peer, -_RENEW_SECONDS) >= _RENEW_SECONDS]
        granted = await asyncio.gather(*(self._reserve_at(peer) for peer in due))
        for peer, yes in zip(due, granted, strict=True):
            (self._reserved if yes else self._refused)[peer] = now

    async def connect(self, peer: PeerId, timeout_seconds: float) -> None:
        """Connect to a peer that cannot be dialled.

        Raises:
            DaemonError: no neighbour leads to it in time.
        """
        relays = self._ranked(peer, await self._direct() - {peer})[:MOST_TRIED]
        if not relays:
            raise DaemonError("it cannot be dialled, and nobody is there to reach it over")
        await self._control.connect_over(peer, relays, timeout_seconds)

    def note(self, peer: PeerId, relay: PeerId | None) -> None:
        """A stream to a peer was opened, over a relay or directly: say so when that is news."""
        if relay is None:
            self._over.pop(peer, None)
        elif self._over.get(peer) != relay:
            logger.info("%s can only be reached over a relay: %s passes on what is said", peer.short, relay.short)
            self._over[peer] = relay

    async def _direct(self) -> set[PeerId]:
        """Return the neighbours to which a connection stands that needs no relay."""
        neighbours: list[Neighbour] = await self._control.neighbours(_ANSWER_SECONDS)
        return {neighbour.peer for neighbour in neighbours if neighbour.relay is None} - {self._me}

    def _ranked(self, target: PeerId, neighbours: Iterable[PeerId]) -> list[PeerId]:
        """Return the neighbours in the order in which a target is reached over them, as both sides rank them."""

        def rank(neighbour: PeerId) -> tuple[bool, bytes]:
            return self._is_stranger(neighbour), tagged_digest("btard relay", target, neighbour)

        return sorted(neighbours, key=rank)

    async def _reserve_at(self, relay: PeerId) -> bool:
        """Ask a neighbour to let others reach this peer over it, and return whether it will."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def store(data: bytes) -> None:
            if not answer.done():
                answer.set_result(data)

        def lost(_: object) -> None:
            answer.cancel()

        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                pipe = await self._control.open_stream(
                    relay, _HOP, lambda _: read_message(store), _ANSWER_SECONDS, lost
                )
                try:
                    await pipe.write(varint(len(_RESERVE)) + _RESERVE, _ANSWER_SECONDS)
                    await asyncio.wait({answer})
                    return not answer.cancelled() and (_STATUS_FIELD, _OK) in list(message_fields(answer.result()))
                finally:
                    pipe.abort()
        except (TimeoutError, DaemonError, StreamLost, ValueError) as error:
            logger.debug("%s does not relay: %s", relay.short, error)
            return False
        finally:
            answer.cancel()
