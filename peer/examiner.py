"""A validator's and a judge's work: what another peer had to send in the step before, from its public seed."""

from __future__ import annotations

import asyncio
import logging

import torch

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.peer.trainer import Trainer
from btard.round.attempt.attempt import Attempt
from btard.round.vectors.momentum import base_from_bytes
from btard.round.vectors.work import Link, continues
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.transport.driver import Withheld
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)


class Examiner:
    """Recomputes vectors of the step before on the parameters that the trainer still holds."""

    def __init__(self, trainer: Trainer, manifest: RunManifest, transport: Libp2pTransport) -> None:
        self._trainer = trainer
        self._manifest = manifest
        self._transport = transport

    async def recompute(self, record: Attempt, target: PeerId, link: Link | None) -> torch.Tensor | None:
        """Return the vector, float32 of shape (d,), that `target` had to send in the step of the record, or None when
        this peer does not hold that step's parameters, or does not know what the target had submitted before.

        Raises:
            Withheld: the target shows no momentum, or another than it has committed to, or not what it submitted last.
        """
        base = None
        if self._manifest.momentum > 0:
            base = await self._base(record, target)
            rules = self._manifest.step_rules
            follows = await asyncio.to_thread(continues, base, link, rules.wire, rules.aggregation)
            if not follows and link is None:
                return None
            if not follows:
                raise Withheld
        return await self._trainer.recompute(record.seats.roster.batch_seed(target), record.seats.roster.step, base)

    async def _base(self, record: Attempt, target: PeerId) -> torch.Tensor:
        """Return the momentum that the target has committed to, shown by itself; raises Withheld."""
        step, promised = record.seats.roster.step, record.said.commits[target].momentum
        question = Question(want=Want.BASE, step=step).encode()
        try:
            if target == self._transport.peer_id:
                data = self._trainer.momentum_base(step)
            else:
                limit = 4 * self._manifest.dimension
                data = await self._transport.fetch(
                    target, question, limit=limit, timeout=self._manifest.deadlines.scatter
                )
            if data is None or digest(data) != promised:
                raise Withheld
            return base_from_bytes(bytes(data), self._manifest.dimension)
        except (FetchError, Malformed) as error:
            logger.warning("%s does not show the momentum of step %d: %s", target.short, step, error)
            raise Withheld from None
