"""Asking peers to show what they keep of a step, to examine somebody's vector of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from btard.exhibits import Exhibit, Fits
from btard.hashing import DIGEST_SIZE
from btard.identity import PeerId
from btard.round.rules import StepRules
from btard.swarm.questions import Question, Want
from btard.trainer import Trainer
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)


class ShownMaterial:
    """What peers show of a step: a `btard.exhibits.Material`. This peer's own comes from its trainer."""

    def __init__(self, trainer: Trainer, rules: StepRules, transport: Libp2pTransport, most_bytes: int) -> None:
        """`most_bytes` are those of an exhibit at most."""
        self._trainer = trainer
        self._rules = rules
        self._transport = transport
        self._most_bytes = most_bytes

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        """See `btard.exhibits.Material`; all are asked at once, so that a silent one costs the others no time."""
        want, me = Want(what), self._transport.peer_id
        if target == me:
            own = self._trainer.momentum_base(step) if what is Exhibit.BASE else self._trainer.submitted(step)
            return own if own is not None and await fits(own) else None
        second = Question(want=want, step=step, peer=str(target))
        asked = [self._vector(target, Question(want=want, step=step), within_seconds)]
        asked += [self._vector(accuser, second, within_seconds) for accuser in accusers if accuser != me]
        tasks = [asyncio.ensure_future(each) for each in asked]
        try:
            for done in asyncio.as_completed(tasks):
                shown = await done
                if shown is not None and await fits(shown):
                    return shown
        finally:
            for task in tasks:
                task.cancel()
        return None

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        """See `btard.exhibits.Material`; all are asked at once, and have no longer than a message may take."""
        question = Question(want=Want.COMMITS, step=step, peer=str(target))
        patience = min(self._rules.delay_bound_seconds, within_seconds)
        asked = [self._ask(holder, question, most_bytes, patience) for holder in holders]
        return [data for data in await asyncio.gather(*asked) if data is not None]

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        """See `btard.exhibits.Material`; all are asked at once."""
        question = Question(want=Want.TRANSCRIPT, step=step)
        asked = [self._ask(holder, question, DIGEST_SIZE, within_seconds) for holder in holders]
        return [data for data in await asyncio.gather(*asked) if data is not None]

    async def _vector(self, holder: PeerId, question: Question, within_seconds: float) -> bytes | None:
        longest = 2 * self._rules.showing_seconds  # of one that asks the target first
        return await self._ask(holder, question, self._most_bytes, min(longest, within_seconds))

    async def _ask(self, peer: PeerId, question: Question, limit: int, timeout_seconds: float) -> bytes | None:
        try:
            answer = await self._transport.fetch(peer, question.encode(), limit=limit, timeout_seconds=timeout_seconds)
        except FetchError as error:
            logger.warning("%s shows no %s of step %d: %s", peer.short, question.want, question.step, error)
            return None
        return bytes(answer)
