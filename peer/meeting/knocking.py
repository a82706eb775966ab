"""Knocks at the doors of members until this peer is one: a majority must name it, so each must have heard of it.

Where the doors are, any peer may say: the right key must answer there.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection, Iterable

from btard.identity import Malformed, PeerId
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import MAX_MADDRS, MAX_REPLY, Knock, Question, Reply, Want
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)

KNOCK_AGAIN_SECONDS = 2.0
"""Seconds after which a door that did not take this peer in is tried again."""

RENEW_SECONDS = 15.0
"""Seconds after which a door that did is told that this peer still waits."""

_ANSWER_SECONDS = 5.0
_AT_ONCE = 32
_PAUSE_SECONDS = 0.25


class Knocker:
    """Knocks at the doors that it is told.

    Attributes:
        client: whether this peer comes as a client.
        heard: whether a door has taken this peer in since it began to knock.
    """

    def __init__(
        self, transport: Libp2pTransport, manifest: RunManifest, maddrs: Collection[str], *, client: bool = False
    ) -> None:
        self._transport = transport
        self._question = Question(
            want=Want.KNOCK,
            knock=Knock(
                run=manifest.run_id,
                protocol=manifest.protocol,
                fingerprint=manifest.fingerprint,
                maddrs=list(maddrs)[:MAX_MADDRS],
                client=client,
            ),
        ).encode()
        self.client = client
        self._due: dict[PeerId, float] = {}
        self._told: set[Reply] = set()
        self.heard = False

    def knock_at(self, doors: Iterable[PeerId]) -> None:
        """Knock at these doors from now on, and at no others."""
        self._due = {door: self._due.get(door, -math.inf) for door in doors if door != self._transport.peer_id}

    def rest(self) -> None:
        """Knock nowhere."""
        self._due, self._told, self.heard = {}, set(), False

    async def run(self) -> None:
        """Knock until cancelled."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def knock(door: PeerId) -> None:
            async with gate:
                pause = await self._knock(door)
            if door in self._due:
                self._due[door] = time.monotonic() + pause

        while True:
            now = time.monotonic()
            await asyncio.gather(*(knock(door) for door, due in self._due.items() if due <= now))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _knock(self, door: PeerId) -> float:
        """Knock at one door, and return after how many seconds to do so again."""
        try:
            reply = Reply.decode(
                await self._transport.fetch(door, self._question, limit=MAX_REPLY, timeout_seconds=_ANSWER_SECONDS),
            )
        except (FetchError, Malformed) as error:
            logger.debug("nobody opens at %s: %s", door.short, error)
            return KNOCK_AGAIN_SECONDS
        match reply:
            case Reply.WAIT | Reply.MEMBER:
                self.heard = self.heard or door in self._due
                return RENEW_SECONDS
            case Reply.BUSY | Reply.ELSEWHERE:
                return KNOCK_AGAIN_SECONDS
        if reply not in self._told:
            self._told.add(reply)
            logger.warning("%s does not name this peer as a candidate, and says: %s", door.short, reply.words)
        return RENEW_SECONDS
