"""Asking peers for the momentum that their vectors are built on."""

from __future__ import annotations

import logging

from btard.identity import PeerId
from btard.peer.trainer import TaskTrainer
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)


class ShownMomentum:
    """What peers show as their momentum; this peer's own comes from its trainer."""

    def __init__(self, trainer: TaskTrainer, manifest: RunManifest, transport: Libp2pTransport) -> None:
        self._trainer = trainer
        self._manifest = manifest
        self._transport = transport

    async def ask(self, target: PeerId, step: int) -> bytes | None:
        """Return the bytes that a peer shows as the momentum of its vector of `step`, None if it shows none."""
        if target == self._transport.peer_id:
            return self._trainer.momentum_base(step)
        question = Question(want=Want.BASE, step=step).encode()
        limit, timeout = 4 * self._manifest.dimension, self._manifest.deadlines.scatter
        try:
            return bytes(await self._transport.fetch(target, question, limit=limit, timeout_seconds=timeout))
        except FetchError as error:
            logger.warning("%s does not show the momentum of step %d: %s", target.short, step, error)
            return None
