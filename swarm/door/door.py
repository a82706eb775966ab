"""The door: which peers knock here over a stream, and which of them answer when they are called back.

The connection proves the caller's id, and a stream is always of now: nothing that is said here needs a signature
or a clock. A key at the door counts once this peer has opened a stream to it and had the run's manifest over that. Only
keys whose connection stands are called, so no stranger can have this peer dial an address.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.admission import room_for_client
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Knock, Question, Reply, Want
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)

MOST_AT_DOOR = 1024
"""Keys kept at the door."""

MOST_GUESTS = 16
"""Of those that wait, how many may use the DHT as members do: a crowd must not fill what nodes keep for members."""

KEPT_SECONDS = 60.0
"""Seconds after its last knock for which a key is kept."""

CALL_TIMEOUT_SECONDS = 3.0
"""Seconds in which a called peer must answer."""

_CALLS_AT_ONCE = 32
_CALL_AGAIN_SECONDS = 20.0
"""Seconds after which a peer that has answered is called again."""

_MOST_FAILURES = 5
"""Failures that are counted; the pause before the next call doubles with each."""
_CONNECTING_SECONDS = 5.0
"""Seconds after a knock for which a missing connection is no reason to forget a key."""

_NEW_A_SECOND = 64
"""Keys that are taken in, at most; those that are at the door already are always heard."""

_KNOCK_PAUSE_SECONDS = 0.5
_SECRET_LIFETIME_SECONDS = 600.0
_CONNECTED_PERIOD_SECONDS = 1.0

LOOK_PERIOD_SECONDS = 0.2
"""Seconds between two looks at the callers that are due to be called."""

Call = Callable[[PeerId], Awaitable[str | None]]
"""Calls a peer back: None when it has answered as a peer of this run does, else why not."""

Connected = Callable[[], Awaitable[set[PeerId] | None]]
"""Returns the peers to which a connection stands, None when that is not known."""

Tell = Callable[[PeerId, str, str], None]
"""Is told of a peer that is not welcome: why, and a detail that may be empty."""


@dataclass
class Caller:
    """A key at the door.

    Attributes:
        maddrs: where it says that it can be dialled.
        rank: decides which callers stay when there are too many; the smallest stay.
        knocked: when it knocked last; event-loop seconds, as all times here.
        call_at: when it is called back next.
        failures: calls without the right answer since the last good one.
        waits_since: when it first answered; None while it has not.
        is_guest: whether it may use the DHT meanwhile.
        is_client: whether it comes as a client.
    """

    maddrs: tuple[str, ...]
    rank: bytes
    knocked: float
    call_at: float
    failures: int = 0
    waits_since: float | None = None
    is_guest: bool = False
    is_client: bool = False


class Door:
    """Keeps the peers that knock, within bounds, and calls them back in turn.

    A flood of keys cannot choose which are kept: ranks follow from a secret of this peer's own, which changes.
    """

    def __init__(
        self,
        manifest: RunManifest,
        call: Call,
        connected: Connected,
        *,
        tell: Tell | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manifest = manifest
        self._call = call
        self._connected = connected
        self._tell = tell
        self._clock = clock
        self._callers: dict[PeerId, Caller] = {}
        self._last: PeerId | None = None
        self._calling: dict[PeerId, asyncio.Task[bool]] = {}
        self._members: frozenset[PeerId] = frozenset()
        self._banned: frozenset[PeerId] = frozenset()
        self._clients = 0
        self._open = False
        self._secret = os.urandom(32)
        self._secret_since = clock()
        self._allowance = float(_NEW_A_SECOND)
        self._refilled = clock()
        self._random = random.Random(os.urandom(32))

    def open(self, members: Iterable[PeerId], banned: Iterable[PeerId], clients: int = 0) -> None:
        """Take in callers from now on, but for these two; so many of the members are clients."""
        self._open, self._clients = True, clients
        self._members, self._banned = frozenset(members), frozenset(banned)
        for peer in self._members | self._banned:
            self._callers.pop(peer, None)

    def close(self) -> None:
        """Send everybody elsewhere: this peer names nobody now."""
        self._open = False

    def __contains__(self, peer: PeerId) -> bool:
        """Whether a key is at the door."""
        return peer in self._callers

    def is_guest(self, peer: PeerId) -> bool:
        """Whether a key waits here and is one of the few that may use the DHT meanwhile."""
        caller = self._callers.get(peer)
        return caller is not None and caller.is_guest

    def waiting(self) -> dict[PeerId, tuple[str, ...]]:
        """Return the callers that answered a call back, in that order, and where each says that it can be dialled."""
        waiting = [(c.waits_since, peer, c.maddrs) for peer, c in self._callers.items() if c.waits_since is not None]
        return {peer: maddrs for _, peer, maddrs in sorted(waiting)}

    def clients(self) -> frozenset[PeerId]:
        """Return the callers that come as clients."""
        return frozenset(peer for peer, caller in self._callers.items() if caller.is_client)

    def forget(self, peer: PeerId) -> None:
        """Count nothing that this peer has said so far."""
        self._callers.pop(peer, None)

    def knock(self, sender: PeerId, knock: Knock) -> Reply:
        """Take in a caller, and return what to tell it.

        Args:
            sender: the peer that the connection has proved.
        """
        now = self._clock()
        reply = self._judge(sender, knock)
        if reply is not Reply.WAIT:
            return reply
        caller = self._callers.get(sender)
        if caller is None:
            return self._take_in(sender, knock, now)
        if now - caller.knocked >= _KNOCK_PAUSE_SECONDS:
            caller.knocked, caller.maddrs, caller.is_client = now, tuple(knock.maddrs), knock.client
        return Reply.WAIT

    async def run(self) -> None:
        """Call back the peers at the door until cancelled."""
        connected: set[PeerId] | None = None
        asked = -math.inf
        try:
            while True:
                if self._callers and self._clock() - asked > _CONNECTED_PERIOD_SECONDS:
                    connected, asked = await self._connected(), self._clock()
                self.look(connected)
                await asyncio.sleep(LOOK_PERIOD_SECONDS)
        finally:
            tasks = list(self._calling.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def look(self, connected: set[PeerId] | None) -> None:
        """Forget the callers that are gone, and begin to call those that are due."""
        now = self._clock()
        if now - self._secret_since > _SECRET_LIFETIME_SECONDS:
            self._secret, self._secret_since = os.urandom(32), now
            self._last = None
            for peer, caller in self._callers.items():
                caller.rank = self._rank(peer)
        for peer, caller in list(self._callers.items()):
            silent = now - caller.knocked
            lost = connected is not None and peer not in connected and silent > _CONNECTING_SECONDS
            if silent > KEPT_SECONDS or lost:
                del self._callers[peer]
        free = _CALLS_AT_ONCE - len(self._calling)
        due = [
            peer
            for peer, caller in self._callers.items()
            if caller.call_at <= now and peer not in self._calling and (connected is None or peer in connected)
        ]
        # The most failures come last, and among equals chance decides: no crowd can stand before everybody else.
        due.sort(key=lambda peer: (self._callers[peer].failures, self._random.random()))
        for peer in due[:free]:
            task = self._calling[peer] = asyncio.ensure_future(self.call_back(peer))
            task.add_done_callback(partial(self._called, peer))

    async def call_back(self, peer: PeerId) -> bool:
        """Call a peer now, and return whether it answers as a peer of this run does."""
        why = await self._call(peer)
        now = self._clock()
        caller = self._callers.get(peer)
        if why is not None:
            self._not_welcome(peer, "it does not answer when it is called back", why)
        if caller is None:
            return why is None
        if why is None:
            caller.failures, caller.call_at = 0, now + _CALL_AGAIN_SECONDS
            if caller.waits_since is None:
                caller.waits_since = now
                caller.is_guest = sum(other.is_guest for other in self._callers.values()) < MOST_GUESTS
            return True
        caller.failures = min(caller.failures + 1, _MOST_FAILURES)
        caller.is_guest = False
        caller.waits_since, caller.call_at = None, now + 2**caller.failures
        return False

    def _judge(self, sender: PeerId, knock: Knock) -> Reply:
        manifest = self._manifest
        if not self._open:
            return Reply.ELSEWHERE
        if sender in self._members:
            return Reply.MEMBER
        for wrong, reply in (
            (sender in self._banned, Reply.BANNED),
            (not manifest.admits(sender), Reply.NOT_LISTED),
            (knock.client and not self._takes_clients, Reply.TOO_MANY_CLIENTS),
            (knock.run != manifest.run_id, Reply.OTHER_RUN),
            (knock.protocol != manifest.protocol, Reply.OTHER_PROTOCOL),
            (knock.fingerprint != manifest.fingerprint, Reply.OTHER_DATA),
        ):
            if wrong:
                self._not_welcome(sender, reply.words)
                return reply
        return Reply.WAIT

    @property
    def _takes_clients(self) -> bool:
        """Whether there is room for a client beside the members; before there are any, nobody knows."""
        return not self._members or room_for_client(len(self._members), self._clients)

    def _take_in(self, sender: PeerId, knock: Knock, now: float) -> Reply:
        rank = self._rank(sender)
        last = self._last_of_all() if len(self._callers) >= MOST_AT_DOOR else None
        if last is not None and self._callers[last].rank < rank:
            return Reply.BUSY
        self._allowance = min(_NEW_A_SECOND, self._allowance + (now - self._refilled) * _NEW_A_SECOND)
        self._refilled = now
        if self._allowance < 1:
            return Reply.BUSY
        self._allowance -= 1
        if last is not None:
            del self._callers[last]
            self._last = None
        self._callers[sender] = Caller(tuple(knock.maddrs), rank, now, now, is_client=knock.client)
        return Reply.WAIT

    def _last_of_all(self) -> PeerId:
        """Return whose rank is worst; found once for all that are refused by it."""
        if self._last is None or self._last not in self._callers:
            self._last = max(self._callers, key=lambda peer: self._callers[peer].rank)
        return self._last

    def _rank(self, peer: PeerId) -> bytes:
        return tagged_digest("btard door", self._secret, peer)

    def _called(self, peer: PeerId, task: asyncio.Task[bool]) -> None:
        del self._calling[peer]
        if not task.cancelled():
            task.result()

    def _not_welcome(self, peer: PeerId, why: str, detail: str = "") -> None:
        if self._tell is not None:
            self._tell(peer, why, detail)
        else:
            logger.debug("%s is not welcome: %s %r", peer.short, why, detail[:200])


async def call_over(transport: Libp2pTransport, manifest: bytes, peer: PeerId) -> str | None:
    """Ask a peer for the run's manifest over a stream: None when it has it, else why not; a `Call` of a `Door`."""
    question = Question(want=Want.MANIFEST).encode()
    try:
        answer = await transport.fetch(peer, question, limit=len(manifest), timeout_seconds=CALL_TIMEOUT_SECONDS)
    except FetchError as error:
        return str(error)
    return None if answer == manifest else "it answers with another manifest"
