"""What stages report, kept for the page, `btard status` and later: a line a step and stage, and the newest of each."""

from __future__ import annotations

import json
import logging
import math
import time
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
        seats: the peers of the stages.
        loss: of the last step that the last stage has told of; None before.
    """

    def __init__(self, manifest: RunManifest, directory: RunDirectory) -> None:
        terms = manifest.pipeline
        assert terms is not None
        self._run, self._blocks = manifest.run, terms.blocks
        self._samples = manifest.batch_size * terms.micro_batches
        self._directory = directory
        self._lines = JsonLines(directory.path / STAGE_LINES)
        self._steps = JsonLines(directory.steps)
        self._newest: dict[int, StepReport] = {}
        self._checks = [0] * terms.stages
        self._alarms = [0] * terms.stages
        self._passed_by = [0] * terms.stages
        self._told: dict[int, int] = {}
        self.seats: tuple[PeerId, ...] = ()
        self.loss: float | None = None

    def seated(self, seating: Seating) -> None:
        """Stages have these peers now, and go on from the seating's step."""
        self.seats = seating.seats
        self._told = dict.fromkeys(range(len(seating.seats)), seating.step - 1)
        self._write()

    def take(self, seating: Seating, peer: PeerId, stance: Stance) -> None:
        """Keep what is new of what a peer reports of its stage."""
        stage, fresh = seating.stage_of(peer), False
        for data in stance.reports if stage is not None else ():
            try:
                report = StepReport.decode(data, peer)
            except Malformed as error:
                logger.debug("no report of %s: %s", peer.short, error)
                return
            if (report.run, report.number, report.stage) != (self._run, seating.number, stage):
                continue
            if report.step > self._told[report.stage]:
                self._keep(report)
                fresh = True
        if fresh:
            self._write()

    def rows(self) -> list[StageRow]:
        """Return what is known of each stage now."""
        return [self._row(stage, blocks) for stage, blocks in enumerate(self._blocks)]

    def _row(self, stage: int, blocks: int) -> StageRow:
        report, peer = self._newest.get(stage), str(self.seats[stage]) if self.seats else ""
        counts = {"alarms": self._alarms[stage], "passed_by": self._passed_by[stage]}
        told = {} if report is None else _numbers(report)
        return StageRow(
            **{**told, "stage": stage, "blocks": blocks, "peer": peer, "checks": self._checks[stage], **counts}
        )

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._steps.close()

    def _keep(self, report: StepReport) -> None:
        stage = report.stage
        self._told[stage], self._newest[stage] = report.step, report
        self._checks[stage] += report.checks
        self._alarms[stage] += report.alarm == stage
        self._passed_by[stage] += report.passed_by
        self._lines.append(
            {"time": round(time.time(), 3), "peer": str(self.seats[stage]), **_numbers(report), **_happened(report)}
        )
        if stage == len(self._blocks) - 1 and math.isfinite(report.loss):
            self.loss = report.loss
            rate = self._samples / report.seconds if report.seconds > 0 else 0.0
            stages = len(self._blocks)
            losses = {"median_loss": report.loss, "loss": report.loss}
            swarm = {"alive": stages, "reporting": len(self._newest), "samples_per_second": rate}
            self._steps.append({"step": report.step, "time": round(time.time(), 3), **losses, **swarm})

    def _write(self) -> None:
        rows = [row.model_dump(mode="json") for row in self.rows()]
        try:
            text = json.dumps({"stages": rows}, separators=(",", ":")) + "\n"
            self._directory.write_text(self._directory.path / STAGES_FILE, text)
        except OSError as error:
            logger.debug("cannot write what stages report: %s", error.strerror)


def _happened(report: StepReport) -> dict[str, Any]:
    return {"alarm": report.alarm, "passed_by": report.passed_by}


def _numbers(report: StepReport) -> dict[str, Any]:
    loss = report.loss if math.isfinite(report.loss) else None
    return {
        "number": report.number,
        "stage": report.stage,
        "step": report.step,
        "seconds": report.seconds,
        "loss": loss,
        "sent_bytes": report.sent_bytes,
        "received_bytes": report.received_bytes,
        "checks": report.checks,
    }
