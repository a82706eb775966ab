"""The swarm's metrics for Prometheus, as the coordinator sees it.

What peers tell may be a lie. It is shown as sums and medians over the members: nobody's words make a label, so that no
number of lies, keys or records makes more series than there are at the start.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Collection
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from btard.coordinator.dashboard.series import finite
from btard.coordinator.telemetry.metrics import StepSummary
from btard.logs import MOMENT
from btard.round.draw import nobody_is_validated
from btard.round.evidence.evidence import Offence
from btard.round.roster import Roster
from btard.swarm.events.coordinator import (
    BanUnproven,
    BanVerified,
    CheckpointMissed,
    CheckpointSaved,
    CoordinatorEvent,
    MemberExcluded,
    PeerExamined,
)
from btard.swarm.events.log import EventLog
from btard.swarm.events.reading import parse_coordinator
from btard.swarm.events.tail import Tail
from btard.swarm.manifest import RunManifest
from btard.swarm.records.details import Found, PeerDetails
from btard.swarm.telemetry.labels import build_info, label
from btard.transport.stages import Stage

UNPROVEN = "unproven"
"""The offence of a ban that no member has proved."""


class SwarmMeter:
    """Counts into a registry that `MetricsEndpoint` serves. It is a Sink of step summaries."""

    def __init__(self, registry: CollectorRegistry, manifest: RunManifest) -> None:
        build_info(registry, "btard-coordinator", "")
        info = Gauge("btard_swarm_info", "Always 1; which run this is.", ["experiment", "run_id"], registry=registry)
        info.labels(manifest.experiment, manifest.run_id).set(1)
        self._make_gauges(registry)
        self._make_counters(registry)
        self._planned.set(manifest.total_steps)
        self._trusted_step: int | None = None
        self._rate = manifest.validators

    def _make_gauges(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, words: str, **labels: tuple[str, ...]) -> Gauge:
            made = Gauge(name, words, tuple(labels), registry=registry)
            for combination in itertools.product(*labels.values()):
                (made.labels(*combination) if labels else made).set(math.nan)
            return made

        stages = tuple(map(label, Stage))

        self._step = gauge("btard_swarm_step", "Step that the swarm is in, by the newest trusted roster.")
        self._stepped = gauge("btard_swarm_step_timestamp_seconds", "Unix time at which that step was first seen.")
        self._planned = gauge("btard_swarm_planned_steps", "Step at which the run is over.")
        self._members = gauge("btard_swarm_members", "Members of the newest trusted roster.")
        self._probation = gauge("btard_swarm_probation_members", "Members on probation, a part of the members.")
        self._validated = gauge(
            "btard_swarm_validated", "1 while validators can be drawn of that roster, 0 while nobody is validated."
        )
        self._alive = gauge("btard_swarm_alive_peers", "Members that answered when they were last asked.")
        self._waiting = gauge(
            "btard_swarm_waiting_peers", "Members that answered and are in no step: they wait for the others."
        )
        self._banned = gauge("btard_swarm_banned_peers", "Keys that the newest trusted roster bans.")
        self._reported = gauge("btard_swarm_reported_step", "Newest step whose reports have been summarised.")
        self._reporting = gauge("btard_swarm_reporting_peers", "Members whose report of the reported step came.")
        self._loss = gauge(
            "btard_swarm_loss",
            "Loss in the reported step, of the members that tell it.",
            statistic=("mean", "median"),
        )
        self._speed = gauge(
            "btard_swarm_samples_per_second",
            "Samples a second while gradients are computed, summed over the members.",
        )
        self._stages = gauge(
            "btard_swarm_stage_duration_seconds",
            "Time of a stage in the members' latest steps.",
            stage=stages,
            statistic=("median", "maximum"),
        )
        self._traffic = gauge(
            "btard_swarm_network_bytes",
            "Bytes of the members' transports since their start.",
            direction=("sent", "received"),
            statistic=("median", "sum"),
        )
        self._saved = gauge("btard_swarm_checkpoint_step", "Step of the newest checkpoint.")
        self._saved_at = gauge(
            "btard_swarm_checkpoint_timestamp_seconds", "Unix time at which that checkpoint was saved."
        )
        self._held_out = gauge("btard_swarm_checkpoint_loss", "Held-out loss of the newest checkpoint.")

    def _make_counters(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        self._steps = counter("btard_swarm_summarised_steps", "Steps whose reports have been summarised.")
        self._samples = counter("btard_swarm_samples", "Samples of the summarised steps.")
        self._bans = counter("btard_swarm_bans", "Bans by the offence that is proved.", "offence")
        self._suspensions = counter(
            "btard_swarm_suspensions", "Members left out of a step without a ban, as most members tell."
        )
        self._examined = counter("btard_swarm_examinations", "Validators' verdicts, as they tell them.", "found")
        self._missed = counter("btard_swarm_missed_checkpoints", "Checkpoints that were given up.")
        # Known from the start, so that the first increase is seen as one.
        for offence in (*map(label, Offence), UNPROVEN):
            self._bans.labels(offence)
        for found in Found:
            self._examined.labels(label(found))

    def followed(self, trusted: Roster, alive: int, waiting: int) -> None:
        """The members were asked where they stand: so many answered, and so many of these are in no step."""
        if self._trusted_step != trusted.step:
            self._trusted_step = MOMENT.step = trusted.step
            self._step.set(trusted.step)
            self._stepped.set(time.time())
        self._members.set(len(trusted.members))
        self._probation.set(len(trusted.newcomers))
        self._banned.set(len(trusted.banned))
        self._alive.set(alive)
        self._waiting.set(waiting)
        self._validated.set(nobody_is_validated(len(trusted.voters), self._rate) is None)

    def log(self, summary: StepSummary) -> None:
        """Take the summary of a step."""
        self._steps.inc()
        self._samples.inc(summary.samples)
        self._reported.set(summary.step)
        self._reporting.set(summary.reporting)
        self._speed.set(_shown(summary.samples_per_second))
        self._loss.labels("mean").set(_shown(summary.loss))
        self._loss.labels("median").set(_shown(summary.median_loss))

    def details(self, told: Collection[PeerDetails]) -> None:
        """Take what the members tell of themselves."""
        if not told:
            return
        for number, stage in enumerate(Stage):
            seconds = [details.stages[number] for details in told]
            self._stages.labels(label(stage), "median").set(statistics.median(seconds))
            self._stages.labels(label(stage), "maximum").set(max(seconds))
        traffic = {"sent": [each.bytes_sent for each in told], "received": [each.bytes_received for each in told]}
        for direction, counts in traffic.items():
            self._traffic.labels(direction, "median").set(statistics.median(counts))
            self._traffic.labels(direction, "sum").set(sum(counts))

    def event(self, event: CoordinatorEvent) -> None:
        """Take an event of the coordinator's log."""
        match event:
            case BanVerified(offence=name) if name in Offence.__members__:
                self._bans.labels(label(Offence[name])).inc()
            case BanUnproven():
                self._bans.labels(UNPROVEN).inc()
            case MemberExcluded():
                self._suspensions.inc()
            case PeerExamined(found=found):
                self._examined.labels(label(found)).inc()
            case CheckpointSaved(step=step, time=saved):
                self._saved.set(step)
                self._saved_at.set(_shown(saved))
                self._held_out.set(_shown(event.evaluation_loss))
            case CheckpointMissed():
                self._missed.inc()


class MeteredLog(EventLog[CoordinatorEvent]):
    """The coordinator's log of events, all of which a meter is told, those of earlier starts of the run first."""

    def __init__(self, path: Path, meter: SwarmMeter) -> None:
        super().__init__(path)
        self._meter = meter
        for event in Tail[CoordinatorEvent](path, parse_coordinator).read_all():
            meter.event(event)

    def write(self, event: CoordinatorEvent) -> CoordinatorEvent:
        """Add an event."""
        timed = super().write(event)
        self._meter.event(timed)
        return timed


def _shown(value: object) -> float:
    number = finite(value)
    return math.nan if number is None else number
