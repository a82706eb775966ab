"""Fetching the states of stages from other peers, and keeping them: for the own seat, for a neighbour, or for later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from btard.hashing import Payload
from btard.identity import PeerId
from btard.pipeline.live.held.states import StateShelf, StoredState
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.usher import Errand
from btard.swarm.questions import Question, Want
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import Libp2pTransport

logger = logging.getLogger("btard.peer")

_FETCH_SECONDS, _PAUSE_SECONDS = 600.0, 0.5


class StateKeeper:
    """The states that a peer holds, and how it comes by those of others.

    Attributes:
        shelf: what it holds.
        fetched_bytes: that have come from others so far.
    """

    def __init__(self, transport: Libp2pTransport, coordinator: PeerId, directory: Path, most_bytes: int) -> None:
        """`directory` is where states arrive, `most_bytes` what one has at most; the coordinator has the first ones."""
        self._transport, self._coordinator = transport, coordinator
        self._directory, self._most_bytes = directory, most_bytes
        self.shelf = StateShelf()
        self.fetched_bytes = 0
        self._on_errand = False
        self._last_errand = 0

    async def get(self, seating: Seating, stage: int) -> Payload:
        """Return the state that a seating names for a stage, however long it takes to find a peer that has it."""
        wanted = seating.states[stage]
        sources = dict.fromkeys(
            [*seating.copies(stage), *seating.seats, *seating.directory.addresses, self._coordinator]
        )
        while (held := self.shelf.get(wanted)) is None:
            if not await self.fetch(stage, seating.step, wanted, sources):
                logger.warning("no peer shows the state of stage %d before step %d; asking again", stage, seating.step)
                await asyncio.sleep(_PAUSE_SECONDS)
        return held.data

    async def fetch(self, stage: int, step: int, wanted: bytes, sources: Iterable[PeerId]) -> bool:
        """Fetch a state onto the shelf unless it is there; whether it is there now."""
        if self.shelf.get(wanted) is not None:
            return True

        async def load(data: Payload) -> bytes:
            state = await asyncio.to_thread(StoredState.of, stage, step, data)
            self.shelf.put(state)
            self.fetched_bytes += state.outline.size
            return state.digest

        source = await download_state(
            self._transport,
            [peer for peer in sources if peer != self._transport.peer_id],
            Question(want=Want.STATE, known=wanted.hex()),
            load,
            wanted,
            arriving=self._directory / f"stage-{wanted[:8].hex()}.arriving",
            limit=self._most_bytes,
            timeout_seconds=_FETCH_SECONDS,
        )
        return source is not None

    async def run_errand(self, seating: Seating, errand: Errand) -> None:
        """Keep a state for later, as a peer without a seat; one at a time, and the one before it."""
        if self._on_errand or self.shelf.get(errand.state) is not None or errand.stage >= seating.stages:
            return
        self._on_errand = True
        try:
            keeper = seating.keeper(errand.stage)
            near = [] if keeper is None else [seating.seats[keeper]]
            if await self.fetch(errand.stage, errand.step, errand.state, [*near, *seating.copies(errand.stage)]):
                self.shelf.forget(self._last_errand)
                self._last_errand = errand.step
        finally:
            self._on_errand = False
