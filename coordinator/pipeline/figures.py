"""What stages report, kept for the page, `btard status` and later: a line a step and stage, and the newest of each."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from btard.coordinator.run_directory import RunDirectory
from btard.identity import Malformed, PeerId
from btard.pipeline.seats.report import StepReport
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import Stance
from btard.swarm.events.log import JsonLines
from btard.swarm.manifest import RunManifest
from btard.swarm.records.stages import StageRow

logger = logging.getLogger(__name__)

STAGE_LINES, STAGES_FILE = "stages.jsonl", "stages.json"
"""In the run's directory: every step of every stage; the newest of each."""


class StageFigures:
    """Takes what stages report, each signed by its peer; nothing of it enters a computation.

    Attributes:
        seats: the peers of the stages, pipeline by pipeline.
        loss: of the last step that the last stage of each pipeline has told of, their mean; None before.
    """

    def __init__(self, manifest: RunManifest, directory: RunDirectory) -> None:
        terms = manifest.pipeline
        assert terms is not None
        self._run, self._blocks, self._replicas = manifest.run, terms.blocks, terms.replicas
        self._samples = manifest.batch_size * terms.micro_batches * terms.replicas
        self._directory = directory
        self._lines = JsonLines(directory.path / STAGE_LINES)
        self._steps = JsonLines(directory.steps)
        self._newest: dict[int, StepReport] = {}
        self._checks = [0] * terms.seats
        self._alarms = [0] * terms.seats
        self._passed_by = [0] * terms.seats
        self._told: dict[int, int] = {}
        self._losses: dict[int, list[StepReport]] = {}
        self.seats: tuple[PeerId, ...] = ()
        self.loss: float | None = None

    def seated(self, seating: Seating) -> None:
        """Stages have these peers now, and go on from the seating's step."""
        self.seats = seating.seats
        self._told = dict.fromkeys(range(len(seating.seats)), seating.step - 1)
        self._write_losses(seating.step - 1)
        self._losses = {}
        self._write()

    def take(self, seating: Seating, peer: PeerId, stance: Stance) -> None:
        """Keep what is new of what a peer reports of its stage."""
        seat, fresh = seating.seat_of(peer), False
        for data in stance.reports if seat is not None else ():
            try:
                report = StepReport.decode(data, peer)
            except Malformed as error:
                logger.debug("no report of %s: %s", peer.short, error)
                return
            if (report.run, report.number, report.seat) != (self._run, seating.number, seat):
                continue
            if report.step > self._told[report.seat]:
                self._keep(report)
                fresh = True
        if fresh:
            self._write()

    def rows(self) -> list[StageRow]:
        """Return what is known of each seat now."""
        return [self._row(seat, blocks) for seat, blocks in enumerate(self._blocks * self._replicas)]

    def _row(self, seat: int, blocks: int) -> StageRow:
        report, peer = self._newest.get(seat), str(self.seats[seat]) if self.seats else ""
        counts = {"alarms": self._alarms[seat], "passed_by": self._passed_by[seat]}
        told = self._place(seat) if report is None else self._numbers(report)
        return StageRow(**{**told, "blocks": blocks, "peer": peer, "checks": self._checks[seat], **counts})

    def _place(self, seat: int) -> dict[str, int]:
        replica, stage = divmod(seat, len(self._blocks))
        return {"replica": replica, "stage": stage}

    def _numbers(self, report: StepReport) -> dict[str, Any]:
        return {
            **self._place(report.seat),
            "number": report.number,
            "step": report.step,
            "seconds": report.seconds,
            "loss": report.loss if math.isfinite(report.loss) else None,
            "sent_bytes": report.sent_bytes,
            "received_bytes": report.received_bytes,
            "checks": report.checks,
        }

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._steps.close()

    def _keep(self, report: StepReport) -> None:
        seat = report.seat
        self._told[seat], self._newest[seat] = report.step, report
        self._checks[seat] += report.checks
        self._alarms[seat] += report.alarm == self._place(seat)["stage"]
        self._passed_by[seat] += report.passed_by
        numbers = {**self._numbers(report), **_happened(report)}
        self._lines.append({"time": round(time.time(), 3), "peer": str(self.seats[seat]), **numbers})
        if self._place(seat)["stage"] == len(self._blocks) - 1 and math.isfinite(report.loss):
            self._take_loss(report)

    def _take_loss(self, report: StepReport) -> None:
        """Write a line once the last stages of all pipelines have told of a step, or those of most of the next one."""
        told = self._losses.setdefault(report.step, [])
        told.append(report)
        if len(told) == self._replicas:
            self._write_losses(report.step)
        elif 2 * len(told) > self._replicas:
            self._write_losses(report.step - 1)

    def _write_losses(self, newest: int) -> None:
        """Write a line for each step up to this one of which the last stages of most pipelines have told."""
        for step in sorted(step for step in self._losses if step <= newest):
            told = self._losses.pop(step)
            if 2 * len(told) > self._replicas:
                self._write_loss(step, told)

    def _write_loss(self, step: int, told: Sequence[StepReport]) -> None:
        self.loss = sum(each.loss for each in told) / len(told)
        seconds = max(each.seconds for each in told)
        rate = self._samples / seconds if seconds > 0 else 0.0
        losses = {"median_loss": self.loss, "loss": self.loss}
        swarm = {"alive": len(self.seats), "reporting": len(self._newest), "samples_per_second": rate}
        self._steps.append({"step": step, "time": round(time.time(), 3), **losses, **swarm})

    def _write(self) -> None:
        rows = [row.model_dump(mode="json") for row in self.rows()]
        try:
            text = json.dumps({"stages": rows}, separators=(",", ":")) + "\n"
            self._directory.write_text(self._directory.path / STAGES_FILE, text)
        except OSError as error:
            logger.debug("cannot write what stages report: %s", error.strerror)


def _happened(report: StepReport) -> dict[str, Any]:
    return {"alarm": report.alarm, "passed_by": report.passed_by}
