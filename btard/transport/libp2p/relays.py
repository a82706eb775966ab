"""Peers that cannot dial each other, such as two behind NATs of their own, talk over a third that both can dial.

libp2p's circuits (version 2) carry such a connection: it is encrypted and authenticated from end to end, so the relay
can but delay it or close it. This is the side of a peer that wants a circuit; what a relay does is in `relaying`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.transport.libp2p.control import ControlSocket, DaemonError

logger = logging.getLogger(__name__)

_AT_ONCE = 2
"""Neighbours that are asked at the same time."""

_MOST_ASKED = 8
_LEAST_SECONDS = 1.0
"""Seconds that a circuit may take at least before the next neighbours are asked."""


class Relays:
    """Connects over neighbours to peers that cannot be dialled.

    Args:
        control: of the own p2pd.
        me: the own peer id.
        is_stranger: whether a peer is none that this one has dealings with; such are asked last.
    """

    def __init__(self, control: ControlSocket, me: PeerId, is_stranger: Callable[[PeerId], bool]) -> None:
        self._control = control
        self._me = me
        self._is_stranger = is_stranger
        self._relayed: set[PeerId] = set()

    async def connect(self, peer: PeerId, timeout_seconds: float) -> None:
        """Connect to a peer over one of the neighbours.

        Raises:
            DaemonError: none leads to it in time.
        """
        neighbours = await self._control.neighbours(timeout_seconds)
        direct = {neighbour.peer for neighbour in neighbours if neighbour.relay is None} - {self._me, peer}
        asked = self._ranked(peer, direct)[:_MOST_ASKED]
        batches = [asked[start : start + _AT_ONCE] for start in range(0, len(asked), _AT_ONCE)]
        seconds = max(_LEAST_SECONDS, timeout_seconds / max(1, len(batches)))
        for batch in batches:
            with suppress(DaemonError):
                await self._control.connect_over(peer, batch, seconds)
                return
        raise DaemonError(f"none of {len(asked)} neighbours leads to it")

    def note(self, peer: PeerId, relay: PeerId | None) -> None:
        """A stream to a peer was opened, over a relay or directly: say so when that is news.

        Another relay is none: two peers that connect at the same time have a circuit each, and streams take either.
        """
        if relay is None and peer in self._relayed:
            logger.info("%s is reached directly again", peer.short)
            self._relayed.discard(peer)
        elif relay is not None and peer not in self._relayed:
            logger.info("%s is reached over a relay: %s passes on what is said", peer.short, relay.short)
            self._relayed.add(peer)

    def _ranked(self, target: PeerId, neighbours: Iterable[PeerId]) -> list[PeerId]:
        """Return the neighbours in the order in which they are asked: another one for each pair of peers, so that all
        have about as much to pass on."""
        pair = b"".join(sorted((self._me, target)))

        def rank(neighbour: PeerId) -> tuple[bool, bytes]:
            return self._is_stranger(neighbour), tagged_digest("btard relay", pair, neighbour)

        return sorted(neighbours, key=rank)
