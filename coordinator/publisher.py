"""Keeps the run's two records in the DHT: its manifest, and the newest roster that the coordinator knows."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from btard.identity import Envelope, IdentityKey, MessageKind
from btard.round.roster import Roster
from coordinator.network import Network, RecordError
from peer.manifest import RunManifest
from peer.records import MAX_BODY, RosterRecord

logger = logging.getLogger(__name__)

TTL = 300.0
"""Seconds that a record outlives its coordinator."""

_PERIOD = TTL / 6
_RETRY = 1.0


class Publisher:
    """Publishes from its own task, so that a slow DHT delays nothing else."""

    def __init__(self, network: Network, key: IdentityKey, manifest: RunManifest) -> None:
        self._network = network
        self._key = key
        self._run = manifest.run
        self._manifest = Envelope.sign(
            key, run=manifest.run, step=0, kind=MessageKind.MANIFEST, body=manifest.model_dump_json().encode()
        )
        self._roster: Envelope | None = None
        self._changed = asyncio.Event()
        self._published = asyncio.Event()
        self._too_large = False

    def announce(self, roster: Roster, *, finished: bool = False) -> None:
        """Publish this roster from now on."""
        envelope = RosterRecord.of(roster, finished=finished).sign(self._key, self._run, MessageKind.GENESIS)
        if len(envelope.body) > MAX_BODY:
            # The swarm goes on; newcomers begin from the last roster that fitted.
            if not self._too_large:
                logger.error("the roster of %d members is too large for a record", len(roster.members))
            self._too_large = True
            return
        self._roster = envelope
        self._published.clear()
        self._changed.set()

    async def settle(self, timeout: float) -> bool:
        """Wait until what was announced last is published; returns whether it was within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._published.wait()
        return self._published.is_set()

    async def run(self) -> None:
        """Publish until cancelled: at once what is new, everything again long before it expires."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._changed.clear()
            everything = loop.time() >= due
            if await self._publish(everything):
                due = loop.time() + _PERIOD if everything else due
                pause = due - loop.time()
            else:
                pause = _RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self._changed.wait()

    async def _publish(self, everything: bool) -> bool:
        roster = self._roster
        try:
            if everything:
                await self._network.publish(self._manifest, TTL)
            if roster is not None:
                await self._network.publish(roster, TTL)
        except RecordError as error:
            logger.warning("cannot publish the run's records, trying again: %s", error)
            return False
        if roster is self._roster:
            self._published.set()
        return True
