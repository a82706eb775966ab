"""A peer's metrics for Prometheus. Labels take values of enumerations, so that nobody's words can make new series."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from btard.identity import PeerId
from btard.round.actions import OutcomeKind, Stopped, Voided
from btard.round.evidence.evidence import Offence
from btard.round.roster import Roster
from btard.swarm.records.details import Found
from btard.swarm.telemetry.labels import build_info, label
from btard.transport.libp2p import Counters
from btard.transport.stages import Stage

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Upper ends of the classes of durations."""


@dataclass(frozen=True)
class PeerStep:
    """A step that this peer has finished.

    Attributes:
        step: the global step.
        seconds: from its beginning to its end.
        stages: seconds of each stage.
        loss: that is told, None for none and for a validator.
        samples: that the gradient was computed on, 0 for a validator.
    """

    step: int
    seconds: float
    stages: Mapping[Stage, float]
    loss: float | None
    samples: int


class _Traffic(Collector):
    """The bytes of a transport, which counts them itself."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """Yield the one family."""
        family = CounterMetricFamily(
            "btard_peer_network_bytes",
            "Bytes of messages and parts; sent ones also of answers to others.",
            labels=["direction"],
        )
        family.add_metric(["sent"], self._counters.bytes_sent)
        family.add_metric(["received"], self._counters.bytes_received)
        yield family


class PeerMeter:
    """Counts what one peer does, into a registry that `MetricsEndpoint` serves.

    Args:
        numerics: what decides how numbers are rounded here.
        counters: of the peer's transport.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        key: PeerId,
        *,
        experiment: str,
        run_id: str,
        numerics: str,
        counters: Counters,
    ) -> None:
        self._key = key
        build_info(registry, "btard-peer", numerics)
        info = Gauge("btard_peer_info", "Always 1; the peer.", ["peer", "experiment", "run_id"], registry=registry)
        info.labels(str(key), experiment, run_id).set(1)
        registry.register(_Traffic(counters))

        self._step = Gauge("btard_peer_step", "Step that the peer is in, or was in last.", registry=registry)
        self._loss = Gauge("btard_peer_loss", "Loss of the own batch in the last step with one.", registry=registry)
        self._member = Gauge("btard_peer_member", "1 for a member of the roster, else 0.", registry=registry)
        self._probation = Gauge("btard_peer_probation", "1 for a member on probation, else 0.", registry=registry)
        self._members = Gauge("btard_peer_roster_members", "Members of the roster of the step.", registry=registry)
        self._validated = Gauge(
            "btard_peer_validated", "1 while validators can be drawn, 0 while nobody is validated.", registry=registry
        )
        self._finished = Gauge(
            "btard_peer_step_timestamp_seconds", "Unix time at which the last step was finished.", registry=registry
        )
        for gauge in (self._step, self._loss, self._finished, self._validated):
            gauge.set(math.nan)

        self._steps = Counter("btard_peer_steps", "Steps that were finished.", registry=registry)
        self._samples = Counter("btard_peer_samples", "Samples of the gradients that were sent.", registry=registry)
        self._voids = Counter("btard_peer_void_attempts", "Attempts at a step that failed.", registry=registry)
        self._suspensions = Counter(
            "btard_peer_suspensions", "Members that were left out in void attempts.", registry=registry
        )
        self._stops = Counter(
            "btard_peer_stops",
            "Times that the peer lost its place, by why.",
            ["reason"],
            registry=registry,
        )
        self._bans = Counter("btard_peer_bans", "Bans in void attempts, by offence.", ["offence"], registry=registry)
        self._examined = Counter(
            "btard_peer_examinations", "Targets examined as a validator, by finding.", ["found"], registry=registry
        )
        self._seconds = Histogram(
            "btard_peer_step_duration_seconds", "Time of a whole step.", registry=registry, buckets=SECONDS
        )
        self._stages = Histogram(
            "btard_peer_stage_duration_seconds",
            "Time of a stage of a step.",
            ["stage"],
            registry=registry,
            buckets=SECONDS,
        )
        # Known from the start, so that the first increase is seen as one.
        for offence in Offence:
            self._bans.labels(label(offence))
        for kind in OutcomeKind:
            self._stops.labels(label(kind))
        for found in Found:
            self._examined.labels(label(found))
        for stage in Stage:
            self._stages.labels(label(stage))

    def begins(self, roster: Roster, *, validated: bool) -> None:
        """A step begins with this roster, of which validators can be drawn or not."""
        self._validated.set(validated)
        self._step.set(roster.step)
        self._members.set(len(roster.members))
        self._member.set(self._key in roster.members)
        self._probation.set(self._key in roster.newcomers)

    def finished(self, step: PeerStep) -> None:
        """A step has been finished."""
        self._finished.set(time.time())
        self._steps.inc()
        self._samples.inc(step.samples)
        self._seconds.observe(step.seconds)
        for stage, seconds in step.stages.items():
            self._stages.labels(label(stage)).observe(seconds)
        if step.loss is not None:
            self._loss.set(step.loss)

    def voided(self, event: Voided) -> None:
        """An attempt has failed."""
        self._voids.inc()
        self._suspensions.inc(len(event.suspended))
        for verdict in event.verdicts:
            self._bans.labels(label(verdict.evidence.offence)).inc()

    def examined(self, found: Found) -> None:
        """This peer has examined another one."""
        self._examined.labels(label(found)).inc()

    def stopped(self, outcome: Stopped) -> None:
        """This peer is no member any more."""
        self._stops.labels(label(outcome.kind)).inc()
        self._member.set(0)
        self._probation.set(0)
