"""Collects what peers say about their steps: a line a peer and step, and a line a step for the whole swarm.

Everything here is self-declared and may be a lie; it is for people to look at, and decides nothing.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Protocol

from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.errors import UserError
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.events.log import JsonLines
from btard.swarm.events.tail import json_object, last_lines
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import LocalMetrics, Metrics, read_records

logger = logging.getLogger(__name__)

MAX_AHEAD = 256
"""Steps that a peer may be ahead of the trusted roster."""

MAX_OPEN = 1024
"""Steps whose reports are waited for at the same time."""

_MAX_AUTHORS = 4096


@dataclass(frozen=True)
class StepSummary:
    """A step of the swarm.

    Attributes:
        step: the global step.
        loss: mean over peers that tell one, None when nobody does.
        median_loss: their median, which one liar cannot move.
        reporting: peers whose report came.
        alive: members of the newest roster.
        samples: that the reporting peers computed on in this step.
        samples_per_second: sum over the reporting peers.
        mini_steps: sum over the reporting peers.
    """

    step: int
    loss: float | None
    median_loss: float | None
    reporting: int
    alive: int
    samples: int
    samples_per_second: float
    mini_steps: int


class Sink(Protocol):
    """Takes every step's summary."""

    def log(self, summary: StepSummary) -> None:
        """Take one."""


@dataclass
class _Tally:
    since: float
    reports: dict[PeerId, LocalMetrics] = field(default_factory=dict)


class MetricsBoard:
    """Reads METRICS records and writes `metrics.jsonl` and `steps.jsonl`."""

    def __init__(
        self,
        manifest: RunManifest,
        directory: RunDirectory,
        *,
        patience_seconds: float,
        sinks: tuple[Sink, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        details: DetailsBoard | None = None,
    ) -> None:
        """`patience_seconds`: how long a finished step waits for reports; `details` takes the rest of them."""
        self._manifest = manifest
        self._patience_seconds = patience_seconds
        self._sinks = sinks
        self._clock = clock
        self._details = details
        self._open: dict[int, _Tally] = {}
        self._last: OrderedDict[PeerId, int] = OrderedDict()
        self._closed = -1
        self._remember(directory)
        self._lines = JsonLines(directory.metrics)
        self._steps = JsonLines(directory.steps)
        self.latest: StepSummary | None = None

    def _remember(self, directory: RunDirectory) -> None:
        """Learn from the files of a former start what was written already: peers' records repeat it."""
        for line in last_lines(directory.metrics, json_object):
            peer, step = line.get("peer"), line.get("step")
            if isinstance(peer, str) and isinstance(step, int):
                try:
                    self._last[PeerId.parse(peer)] = step
                except UserError:
                    continue
        for line in last_lines(directory.steps, json_object):
            step = line.get("step")
            if isinstance(step, int):
                self._closed = max(self._closed, step)

    def take(self, envelopes: dict[PeerId, Envelope], trusted: Roster) -> None:
        """Note what is new in the records of members, and close the steps that are complete or waited for long enough.

        Members alone are listened to, and only about steps that can have happened; a step that is too far ahead stays
        unread, so that an early look costs nothing.
        """
        manifest = self._manifest
        members = set(trusted.members)
        mine = {peer: envelope for peer, envelope in envelopes.items() if peer in members}
        last_plausible = min(trusted.step + MAX_AHEAD, manifest.total_steps - 1)
        records = read_records(mine, Metrics, manifest.run, MessageKind.METRICS)
        if self._details is not None:
            self._details.take(records, trusted, last_plausible)
        for peer, metrics in records.items():
            for report in sorted(metrics.steps, key=lambda report: report.step):
                if self._last.get(peer, manifest.start_step - 1) < report.step <= last_plausible:
                    self._note(peer, report)
        self._close_steps(trusted)

    def flush(self, trusted: Roster) -> None:
        """Close every step that is over, complete or not."""
        self._close_steps(trusted, wait=False)

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._steps.close()

    def _note(self, peer: PeerId, report: LocalMetrics) -> None:
        self._last[peer] = report.step
        self._last.move_to_end(peer)
        while len(self._last) > _MAX_AUTHORS:
            self._last.popitem(last=False)
        self._lines.append(
            {
                "time": round(time.time(), 3),
                "peer": peer,
                "step": report.step,
                "loss": report.loss,
                "samples": report.samples_accumulated,
                "samples_per_second": report.samples_per_second,
                "mini_steps": report.mini_steps,
            }
        )
        if report.step > self._closed and (report.step in self._open or len(self._open) < MAX_OPEN):
            self._open.setdefault(report.step, _Tally(self._clock())).reports[peer] = report

    def _close_steps(self, trusted: Roster, *, wait: bool = True) -> None:
        now = self._clock()
        for step in sorted(self._open):
            if step >= trusted.step:
                break
            tally = self._open[step]
            complete = all(self._last.get(peer, -1) >= step for peer in trusted.members)
            if wait and not complete and now - tally.since < self._patience_seconds:
                break
            del self._open[step]
            self._closed = step
            self._summarise(step, list(tally.reports.values()), len(trusted.members))

    def _summarise(self, step: int, reports: list[LocalMetrics], alive: int) -> None:
        losses = [report.loss for report in reports if report.loss is not None]
        summary = StepSummary(
            step=step,
            # A plain sum: the exact ones of math and statistics raise when a liar's numbers overflow.
            loss=sum(losses) / len(losses) if losses else None,
            median_loss=statistics.median(losses) if losses else None,
            reporting=len(reports),
            alive=alive,
            samples=self._manifest.batch_size * len(reports),
            samples_per_second=sum(report.samples_per_second for report in reports),
            mini_steps=sum(report.mini_steps for report in reports),
        )
        self.latest = summary
        self._steps.append({"time": round(time.time(), 3), **asdict(summary)})
        for sink in self._sinks:
            sink.log(summary)


def status_line(summary: StepSummary, answering: int) -> str:
    """Return the swarm's state as a line for the log."""
    loss = "not told" if summary.loss is None else f"{summary.loss:.4f}"
    return (
        f"step {summary.step}: loss {loss} ({summary.reporting} reports), {answering} of {summary.alive} peers answer, "
        f"{summary.samples_per_second:.1f} samples/s"
    )
