"""The newest roster that the coordinator has signed: looked for in the DHT and over streams, and handed on.

Only the coordinator's signature makes it true, and its record's number makes it new, so it may come from anybody; a
peer that withholds it only hides it if all others do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.door.asking import ask_directory
from btard.swarm.events.coordinator import awaited
from btard.swarm.questions import Question, Want
from btard.swarm.records.record import MAX_BODY, RosterRecord
from btard.transport.libp2p import FetchError, Libp2pTransport, Records

logger = logging.getLogger(__name__)

TELL_PERIOD_SECONDS = 10.0
"""Seconds between two lines that tell how many the first roster waits for."""

POLL_SECONDS = 0.5
"""Seconds between two looks for the first roster."""

MAX_ROSTER_ENVELOPE = MAX_BODY + 256
"""Bytes."""

_ANSWER_SECONDS = 5.0
_PATIENCE_SECONDS = 0.5
"""Seconds that the others still have once somebody has shown a roster."""


class Rosters:
    """Looks for the coordinator's newest roster, and never goes back behind what it has seen."""

    def __init__(
        self, records: Records, transport: Libp2pTransport, coordinator: PeerId, run: bytes, named: Iterable[PeerId]
    ) -> None:
        self._records = records
        self._transport = transport
        self._coordinator = coordinator
        self._run = run
        self._asked = sorted({coordinator, *named} - {transport.peer_id})
        self._newest: tuple[Envelope, RosterRecord] | None = None
        self._base: Roster | None = None

    @property
    def coordinator(self) -> PeerId:
        """Whose rosters these are."""
        return self._coordinator

    @property
    def base(self) -> Roster | None:
        """The newest roster seen; None before the first."""
        return self._base

    async def newest_bytes(self) -> bytes | None:
        """Return the newest roster seen, as the coordinator has signed it; None before the first."""
        return self._newest[0].encode() if self._newest is not None else None

    async def look(self) -> RosterRecord | None:
        """Return the newest roster that is to be had, None while there is none; bounded by a few seconds."""
        works: list[Coroutine[Any, Any, Envelope | None]] = [self._in_dht(), *map(self._over_stream, self._asked)]
        pending = {asyncio.ensure_future(work) for work in works}
        left = _ANSWER_SECONDS
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for task in done:
                    if (envelope := task.result()) is not None:
                        self._consider(envelope)
                        left = _PATIENCE_SECONDS
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        return self._newest[1] if self._newest is not None else None

    async def wait_for_first(self, wanted: int) -> tuple[Roster, bool]:
        """Wait for the first roster of the run, and tell again and again how many of `wanted` members are there.

        Returns:
            The newest roster that the coordinator knows, and whether the run is over.
        """
        telling = asyncio.ensure_future(self._tell_awaited(wanted))
        try:
            while True:
                record = await self.look()
                if record is not None:
                    return record.unpack(), record.finished
                await asyncio.sleep(POLL_SECONDS)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell_awaited(self, wanted: int) -> None:
        """Tell until cancelled; only the coordinator's door counts before the first roster."""
        while True:
            await asyncio.sleep(TELL_PERIOD_SECONDS)
            directory = await ask_directory(self._transport, self._coordinator)
            if directory is None:
                logger.info("waiting for the first roster: the coordinator does not say how many are here")
            else:
                logger.info("%s", awaited(len(directory.waiting), wanted))

    def _consider(self, envelope: Envelope) -> None:
        if envelope.author != self._coordinator:
            return
        if self._newest is not None and envelope.step <= self._newest[0].step:
            return
        try:
            record = RosterRecord.read(envelope, self._run, MessageKind.GENESIS)
            base = record.unpack()
        except Malformed as error:
            logger.warning("the coordinator's roster cannot be read: %s", error)
            return
        self._newest, self._base = (envelope, record), base

    async def _in_dht(self) -> Envelope | None:
        found = await self._records.read(self._run, MessageKind.GENESIS, [self._coordinator])
        return found.get(self._coordinator)

    async def _over_stream(self, peer: PeerId) -> Envelope | None:
        question = Question(want=Want.ROSTER).encode()
        try:
            answer = await self._transport.fetch(
                peer, question, limit=MAX_ROSTER_ENVELOPE, timeout_seconds=_ANSWER_SECONDS
            )
            return Envelope.decode(answer, limit=MAX_ROSTER_ENVELOPE)
        except (FetchError, Malformed) as error:
            logger.debug("no roster from %s: %s", peer.short, error)
            return None
