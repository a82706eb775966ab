"""Publishes a peer's metrics: its latest steps in one signed record, at most once a period."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping

from btard import __version__
from btard.behaviour import Behaviour
from btard.identity import IdentityKey, MessageKind, PeerId
from btard.peer.keeping.reports import KeptReports
from btard.peer.trainer import Gradient
from btard.printable import printable
from btard.round.messages.accusations import Opinion
from btard.round.work.examination import Finding
from btard.swarm.manifest import RunManifest
from btard.swarm.records.details import MAX_REASON, MAX_TOLD, MOST_NUMERICS, Examination, Exclusion, Found, PeerDetails
from btard.swarm.records.record import MAX_METRICS, MAX_REPORTS, LocalMetrics, Metrics, Reports
from btard.transport.libp2p import Counters, RecordError, Records
from btard.transport.stages import Stage

logger = logging.getLogger(__name__)

_TTL_SECONDS = 600.0


class Reporter:
    """Collects LocalMetrics and PeerDetails and publishes them.

    Args:
        counters: of the peer's transport.
        numerics: what decides how numbers are rounded here.
        reports: those of the last steps, also of an earlier start.
    """

    def __init__(
        self,
        records: Records,
        key: IdentityKey,
        manifest: RunManifest,
        behaviour: Behaviour,
        counters: Counters,
        numerics: str,
        reports: KeptReports,
    ) -> None:
        self._records = records
        self._key = key
        self._manifest = manifest
        self._behaviour = behaviour
        self._reports = reports
        self._counters = counters
        self._version, self._numerics = printable(__version__)[:32], printable(numerics)[:MOST_NUMERICS]
        self._examined: deque[Examination] = deque(maxlen=MAX_TOLD)
        self._excluded: deque[Exclusion] = deque(maxlen=MAX_TOLD)
        self._finished: tuple[int, Mapping[Stage, float]] | None = None
        last = reports.last
        self._samples = 0 if last is None else last.samples_accumulated
        self._published = -1

    def finished(self, step: int, stages: Mapping[Stage, float]) -> None:
        """Note how long the stages of a finished step took."""
        self._finished = (step, stages)

    def examined(self, step: int, target: PeerId, finding: Finding) -> Found | None:
        """Note what this peer found as a validator and return it; a step's first finding counts, others give None."""
        if self._examined and self._examined[-1].step >= step:
            return None
        self._examined.append(Examination(step=step, target=str(target), found=_found(finding)))
        return self._examined[-1].found

    def excluded(self, step: int, peer: PeerId, reason: str) -> None:
        """Note that a member was left out of a step."""
        self._excluded.append(Exclusion(step=step, peer=str(peer), reason=printable(reason)[:MAX_REASON]))

    def add(self, step: int, gradient: Gradient) -> float | None:
        """Note a finished step; returns the loss that is told, None for none."""
        self._samples += self._manifest.batch_size
        loss = self._behaviour.reported_loss(step, gradient.loss)
        told = loss if loss is not None and math.isfinite(loss) else None
        self._reports.add(
            LocalMetrics(
                step=step,
                samples_per_second=self._manifest.batch_size / max(gradient.seconds, 1e-9),
                samples_accumulated=self._samples,
                loss=told,
                mini_steps=1,
            )
        )
        return told

    def since(self, step: int) -> bytes:
        """Return `Reports` of the earliest steps from `step` on that this peer remembers."""
        return Reports(steps=[report for report in self._reports if report.step >= step][:MAX_REPORTS]).encode()

    def close(self) -> None:
        """Close the file of reports."""
        self._reports.close()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(self._manifest.metrics_period)
            await self.publish()

    async def publish(self) -> None:
        """Publish what is new."""
        finished, last = self._finished[0] if self._finished is not None else -1, self._reports.last
        if last is None or (latest := max(last.step, finished)) == self._published:
            return
        record = Metrics(steps=list(self._reports)[-MAX_METRICS:], details=self._details())
        envelope = record.sign(self._key, self._manifest.run, MessageKind.METRICS)
        try:
            await self._records.publish(envelope, _TTL_SECONDS)
            self._published = latest
        except RecordError as error:
            logger.warning("cannot publish metrics: %s", error)

    def _details(self) -> PeerDetails | None:
        if self._finished is None:
            return None
        step, stages = self._finished
        return PeerDetails(
            version=self._version,
            numerics=self._numerics,
            bytes_sent=self._counters.bytes_sent,
            bytes_received=self._counters.bytes_received,
            step=step,
            stages=[round(max(0.0, stages[stage]), 4) for stage in Stage],
            examined=list(self._examined),
            excluded=list(self._excluded),
        )


def _found(finding: Finding) -> Found:
    if finding.withheld:
        return Found.WITHHELD
    if finding.accuse:
        return Found.DIFFERS
    return Found.SAME if finding.opinion is Opinion.INNOCENT else Found.UNKNOWN
