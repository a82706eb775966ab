"""Keeps the newest roster that the coordinator knows in the DHT."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from btard.coordinator.network.network import RecordError, SwarmNetwork
from btard.identity import Envelope, IdentityKey, MessageKind
from btard.round.roster import Roster
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import MAX_BODY, RosterRecord

logger = logging.getLogger(__name__)

TTL_SECONDS = 300.0
"""Seconds that a record outlives its coordinator."""

_PERIOD_SECONDS = TTL_SECONDS / 6
_RETRY_SECONDS = 1.0


class Publisher:
    """Publishes from its own task, so that a slow DHT delays nothing else."""

    def __init__(self, network: SwarmNetwork, key: IdentityKey, manifest: RunManifest) -> None:
        self._network = network
        self._key = key
        self._run = manifest.run
        self._roster: Envelope | None = None
        self._changed = asyncio.Event()
        self._published = asyncio.Event()
        self._too_large = False

    def announce(self, roster: Roster, *, finished: bool = False, stored: int = -1) -> None:
        """Publish this roster from now on, and up to which step nobody has to hold states any more."""
        record = RosterRecord.of(roster, finished=finished, stored=stored)
        envelope = record.sign(self._key, self._run, MessageKind.GENESIS)
        if len(envelope.body) > MAX_BODY:
            # The swarm goes on; newcomers begin from the last roster that fitted.
            if not self._too_large:
                logger.error("the roster of %d members is too large for a record", len(roster.members))
            self._too_large = True
            return
        self._roster = envelope
        self._published.clear()
        self._changed.set()

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was announced last is published; returns whether it was within `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._published.wait()
        return self._published.is_set()

    async def run(self) -> None:
        """Publish until cancelled: at once what is new, and again long before it expires."""
        while True:
            self._changed.clear()
            pause = _PERIOD_SECONDS if await self._publish() else _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _publish(self) -> bool:
        roster = self._roster
        if roster is None:
            return True
        try:
            await self._network.publish(roster, TTL_SECONDS)
        except RecordError as error:
            logger.warning("cannot publish the roster, trying again: %s", error)
            return False
        if roster is self._roster:
            self._published.set()
        return True
