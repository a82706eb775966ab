"""What stages report is kept if their peers have signed it, each step once."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from btard.coordinator.pipeline.figures import StageFigures
from btard.coordinator.run_directory import RunDirectory
from btard.identity import IdentityKey
from btard.pipeline.seats.report import StepReport
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import SeatPhase, Stance
from tests.coordinator.swarm import manifest
from tests.coordinator.test_pipeline_terms import TERMS

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(3)]
RUN = manifest(pipeline=TERMS)
SEATING = Seating(RUN.run, 1, 0, tuple(key.peer_id for key in KEYS[:2]), (DRAWN,) * 2)


def report(stage: int, step: int, **changes: Any) -> bytes:
    loss = 2.5 if stage == 1 else math.nan
    told = StepReport(RUN.run, 1, stage, step, 0.5, loss, 100, 200, 2, None)
    return replace(told, **changes).signed(KEYS[stage])


def stance(*reports: bytes) -> Stance:
    return Stance(1, SeatPhase.TRAINING, 0, reports=reports)


def lines(directory: RunDirectory, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory.path / name).read_text().splitlines()]


def test_each_step_of_a_stage_is_written_once(directory: RunDirectory) -> None:
    figures = StageFigures(RUN, directory)
    figures.seated(SEATING)
    figures.take(SEATING, SEATING.seats[1], stance(report(1, 0), report(1, 1)))
    figures.take(SEATING, SEATING.seats[1], stance(report(1, 0), report(1, 1), report(1, 2, alarm=1)))
    figures.take(SEATING, SEATING.seats[0], stance(report(0, 2)))
    figures.close()
    assert [(line["stage"], line["step"]) for line in lines(directory, "stages.jsonl")] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (0, 2),
    ]
    assert [(line["step"], line["loss"]) for line in lines(directory, "steps.jsonl")] == [(0, 2.5), (1, 2.5), (2, 2.5)]
    assert figures.loss == 2.5
    rows = json.loads((directory.path / "stages.json").read_text())["stages"]
    assert [(row["stage"], row["step"], row["checks"], row["alarms"]) for row in rows] == [(0, 2, 2, 0), (1, 2, 6, 1)]


def test_the_page_and_visitors_are_told_the_same_of_each_stage(directory: RunDirectory) -> None:
    figures = StageFigures(RUN, directory)
    assert [(row.peer, row.step, row.checks) for row in figures.rows()] == [("", None, 0)] * 2
    figures.seated(SEATING)
    figures.take(SEATING, SEATING.seats[1], stance(report(1, 0, passed_by=True), report(1, 1), report(1, 2)))
    figures.take(SEATING, SEATING.seats[1], stance(report(1, 3, passed_by=True)))
    first, last = figures.rows()
    figures.close()
    assert (first.peer, first.step, first.passed_by) == (str(SEATING.seats[0]), None, 0)
    assert (last.step, last.loss, last.seconds, last.sent_bytes, last.received_bytes) == (3, 2.5, 0.5, 100, 200)
    assert (last.checks, last.passed_by) == (8, 2)
    rows = json.loads((directory.path / "stages.json").read_text())["stages"]
    assert rows == [row.model_dump() for row in (first, last)]


def test_steps_that_are_done_again_are_written_again(directory: RunDirectory) -> None:
    figures = StageFigures(RUN, directory)
    figures.seated(SEATING)
    figures.take(SEATING, SEATING.seats[1], stance(report(1, 0), report(1, 1)))
    again = replace(SEATING, number=2, step=1)
    figures.seated(again)
    figures.take(again, SEATING.seats[1], stance(report(1, 1), report(1, 1, number=2)))
    figures.close()
    assert [(line["number"], line["step"]) for line in lines(directory, "stages.jsonl")] == [(1, 0), (1, 1), (2, 1)]


def test_a_report_of_another_stage_or_peer_is_left_out(directory: RunDirectory) -> None:
    figures = StageFigures(RUN, directory)
    figures.seated(SEATING)
    other = StepReport(RUN.run, 1, 0, 0, 0.5, 2.5, 100, 200, 2, None).signed(KEYS[1])
    figures.take(SEATING, SEATING.seats[0], stance(report(1, 0)))
    figures.take(SEATING, SEATING.seats[1], stance(other, report(1, 0, run=bytes(16)), b"nonsense"))
    figures.take(SEATING, KEYS[2].peer_id, stance(report(1, 0)))
    figures.close()
    assert lines(directory, "stages.jsonl") == [] and figures.loss is None


def test_the_loss_of_several_pipelines_is_their_mean(directory: RunDirectory) -> None:
    keys = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(8)]
    run = manifest(pipeline={**TERMS, "replicas": 4, "tau": 0.1, "check": "drawn"})
    beside = Seating(run.run, 1, 0, tuple(key.peer_id for key in keys), (DRAWN,) * 2)
    figures = StageFigures(run, directory)
    figures.seated(beside)
    for replica, step, loss in ((0, 0, 1.0), (1, 0, 2.0), (2, 0, 3.0), (0, 1, 4.0)):
        tell(figures, beside, keys, 2 * replica + 1, step, loss)
    assert [(row.replica, row.stage, row.step) for row in figures.rows()] == [
        (0, 0, None), (0, 1, 1), (1, 0, None), (1, 1, 0), (2, 0, None), (2, 1, 0), (3, 0, None), (3, 1, None),
    ]  # fmt: skip
    assert figures.loss is None, "one has not told of step 0"
    tell(figures, beside, keys, 7, 0, 4.0)
    assert figures.loss == 2.5
    for step in (2, 3):
        for replica in range(3):
            tell(figures, beside, keys, 2 * replica + 1, step, 4.0 + step)
    assert figures.loss == 6.0, "most have gone on without the one that was lost"
    tell(figures, beside, keys, 1, 4, 9.0)
    figures.seated(replace(beside, number=2, step=5))
    figures.close()
    told = [(line["step"], line["loss"]) for line in lines(directory, "steps.jsonl")]
    assert told == [(0, 2.5), (2, 6.0), (3, 7.0)], "of steps 1 and 4 most have not told"


def tell(figures: StageFigures, seating: Seating, keys: list[IdentityKey], seat: int, step: int, loss: float) -> None:
    told = StepReport(seating.run, 1, seat, step, 0.5, loss, 100, 200, 0, None).signed(keys[seat])
    figures.take(seating, keys[seat].peer_id, stance(told))
