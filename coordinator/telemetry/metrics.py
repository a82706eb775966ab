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

from pydantic import ValidationError

from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.errors import UserError
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.events.log import JsonLines
from btard.swarm.events.tail import json_object, last_lines
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import MAX_METRICS, MAX_REPORTS, LocalMetrics, Metrics, read_records

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
        missed: Callable[[int, int], None] = lambda first, last: None,
    ) -> None:
        """Learn from the files what a former start has written.

        Args:
            patience_seconds: how long a finished step waits for reports.
            details: takes the rest of them.
            missed: is told of steps, from a first one to a last one, of which nobody has reported.
        """
        self._manifest = manifest
        self._patience_seconds = patience_seconds
        self._sinks = sinks
        self._clock = clock
        self._details = details
        self._open: dict[int, _Tally] = {}
        self._last: OrderedDict[PeerId, int] = OrderedDict()
        self._closed = manifest.start_step - 1
        self._missed = missed
        self._remember(directory)
        self._lines = JsonLines(directory.metrics)
        self._steps = JsonLines(directory.steps)
        self.latest: StepSummary | None = None

    def _remember(self, directory: RunDirectory) -> None:
        """Learn from the files of a former start what was written already: peers' records repeat it."""
        for line in last_lines(directory.steps, json_object):
            step = line.get("step")
            if isinstance(step, int):
                self._closed = max(self._closed, step)
        for line in last_lines(directory.metrics, json_object):
            try:
                peer, report = PeerId.parse(str(line.get("peer"))), _report_of(line)
            except (UserError, ValidationError):
                continue
            self._last[peer] = report.step
            self._count(peer, report)

    def gaps(self, envelopes: dict[PeerId, Envelope], trusted: Roster) -> dict[PeerId, int]:
        """Return the members whose records do not go back to what they reported last, and since when they do not."""
        found = {}
        for peer, metrics in self._records_of(envelopes, trusted).items():
            first = min(report.step for report in metrics.steps)
            expected = max(self._last.get(peer, -1), self._closed) + 1
            if len(metrics.steps) == MAX_METRICS and expected < first <= trusted.step + MAX_AHEAD:
                found[peer] = expected
        return found

    def take_earlier(
        self,
        envelopes: dict[PeerId, Envelope],
        asked: dict[PeerId, int],
        told: dict[PeerId, list[LocalMetrics]],
        trusted: Roster,
    ) -> dict[PeerId, int]:
        """Note what members have told of earlier steps, and close the steps that all of them have come to.

        Args:
            envelopes: the records that have the gaps.
            asked: the members with gaps, and the first step that each was asked for.
            told: what those of them have answered that did.
            trusted: the roster of the step that is not over yet.

        Returns:
            The members that have more to tell, with the first step to ask for.
        """
        last_plausible = self._last_plausible(trusted)
        more: dict[PeerId, int] = {}
        for peer, reports in told.items():
            over = [report for report in reports if asked[peer] <= report.step <= last_plausible]
            for report in sorted(over, key=lambda report: report.step):
                if self._last.get(peer, -1) < report.step:
                    self._note(peer, report)
            if len(over) == MAX_REPORTS and self._last.get(peer, -1) >= asked[peer] + MAX_REPORTS - 1:
                more[peer] = self._last[peer] + 1
        left = self.gaps(envelopes, trusted)
        more = {peer: step for peer, step in more.items() if peer in left}
        come_to = min(more.values(), default=None)
        if come_to is not None:
            self._note_records(self._records_of(envelopes, trusted), come_to - 1)
            for step in sorted(step for step in self._open if step < min(come_to, trusted.step)):
                self._close(step, trusted)
        return more

    def _last_plausible(self, trusted: Roster) -> int:
        return min(trusted.step + MAX_AHEAD, self._manifest.total_steps - 1)

    def _records_of(self, envelopes: dict[PeerId, Envelope], trusted: Roster) -> dict[PeerId, Metrics]:
        members = set(trusted.members)
        mine = {peer: envelope for peer, envelope in envelopes.items() if peer in members}
        return read_records(mine, Metrics, self._manifest.run, MessageKind.METRICS)

    def _note_records(self, records: dict[PeerId, Metrics], last_step: int) -> None:
        for peer, metrics in records.items():
            for report in sorted(metrics.steps, key=lambda report: report.step):
                if self._last.get(peer, self._manifest.start_step - 1) < report.step <= last_step:
                    self._note(peer, report)

    def take(self, envelopes: dict[PeerId, Envelope], trusted: Roster) -> None:
        """Note what is new in the records of members, and close the steps that are complete or waited for long enough.

        Members alone are listened to, and only about steps that can have happened; a step that is too far ahead stays
        unread, so that an early look costs nothing.
        """
        last_plausible = self._last_plausible(trusted)
        records = self._records_of(envelopes, trusted)
        if self._details is not None:
            self._details.take(records, trusted, last_plausible)
        self._note_records(records, last_plausible)
        self._close_steps(trusted)

    def flush(self, trusted: Roster) -> None:
        """Close every step that is over, complete or not; no reports come any more."""
        self._close_steps(trusted, wait=False)
        if self._closed < trusted.step - 1:
            self._missed(self._closed + 1, trusted.step - 1)
            self._closed = trusted.step - 1

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
        self._count(peer, report)

    def _count(self, peer: PeerId, report: LocalMetrics) -> None:
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
            self._close(step, trusted)

    def _close(self, step: int, trusted: Roster) -> None:
        if step > self._closed + 1:
            self._missed(self._closed + 1, step - 1)
        self._closed = step
        self._summarise(step, list(self._open.pop(step).reports.values()), len(trusted.members))

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


def _report_of(line: dict[str, object]) -> LocalMetrics:
    """Return the report of a line of `metrics.jsonl`; raises ValidationError."""
    named = {name: line.get("samples" if name == "samples_accumulated" else name) for name in LocalMetrics.model_fields}
    return LocalMetrics.model_validate(named)


def status_line(summary: StepSummary, answering: int) -> str:
    """Return the swarm's state as a line for the log."""
    loss = "not told" if summary.loss is None else f"{summary.loss:.4f}"
    return (
        f"step {summary.step}: loss {loss} ({summary.reporting} reports), {answering} of {summary.alive} peers answer, "
        f"{summary.samples_per_second:.1f} samples/s"
    )
