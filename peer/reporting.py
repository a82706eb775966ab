"""Publishes a peer's metrics: its latest steps in one signed record, at most once a period."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque

from btard.behaviour import Behaviour
from btard.identity import IdentityKey, MessageKind
from btard.transport.libp2p import RecordError, Records
from peer.manifest import RunManifest
from peer.records import MAX_METRICS, LocalMetrics, Metrics, metrics_key
from peer.trainer import Gradient

logger = logging.getLogger(__name__)

_TTL = 600.0


class Reporter:
    """Collects LocalMetrics and publishes them."""

    def __init__(self, records: Records, key: IdentityKey, manifest: RunManifest, behaviour: Behaviour) -> None:
        self._records = records
        self._key = key
        self._manifest = manifest
        self._behaviour = behaviour
        self._steps: deque[LocalMetrics] = deque(maxlen=MAX_METRICS)
        self._samples = 0
        self._published = -1

    def add(self, step: int, gradient: Gradient) -> float | None:
        """Note a finished step; returns the loss that is told, None for none."""
        self._samples += self._manifest.batch_size
        loss = self._behaviour.reported_loss(step, gradient.loss)
        told = loss if loss is not None and math.isfinite(loss) else None
        self._steps.append(
            LocalMetrics(
                step=step,
                samples_per_second=self._manifest.batch_size / max(gradient.seconds, 1e-9),
                samples_accumulated=self._samples,
                loss=told,
                mini_steps=1,
            )
        )
        return told

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(self._manifest.metrics_period)
            await self.publish()

    async def publish(self) -> None:
        """Publish what is new."""
        if not self._steps or self._steps[-1].step == self._published:
            return
        latest = self._steps[-1].step
        envelope = Metrics(steps=list(self._steps)).sign(self._key, self._manifest.run, MessageKind.METRICS)
        try:
            await self._records.publish(metrics_key(self._manifest.run), envelope, _TTL)
            self._published = latest
        except RecordError as error:
            logger.warning("cannot publish metrics: %s", error)
