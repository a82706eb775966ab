"""Metrics: each peer and step once, within bounds, whatever liars report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry import metrics as module
from btard.coordinator.telemetry.metrics import MetricsBoard, StepSummary, status_line
from btard.identity import Envelope, MessageKind, PeerId
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import MAX_METRICS
from tests.coordinator.swarm import MemoryNetwork, identity, manifest, metrics, roster

RUN = manifest()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept:
    def __init__(self) -> None:
        self.summaries: list[StepSummary] = []

    def log(self, summary: StepSummary) -> None:
        self.summaries.append(summary)


class Bench:
    """A board with a swarm of three."""

    def __init__(self, directory: RunDirectory, run: RunManifest = RUN) -> None:
        self.directory = directory
        self.network = MemoryNetwork(run)
        self.clock = Clock()
        self.kept = Kept()
        self.missed: list[tuple[int, int]] = []
        self.board = self.restart()

    def restart(self) -> MetricsBoard:
        self.board = MetricsBoard(
            self.network.run,
            self.directory,
            patience_seconds=5.0,
            sinks=(self.kept,),
            clock=self.clock,
            missed=lambda first, last: self.missed.append((first, last)),
        )
        return self.board

    def catch_up(self, step: int) -> list[dict[PeerId, int]]:
        """Ask for what records do not go back to, as the coordinator does, and return what was asked for."""
        asked, trusted = [], roster(step, 1, 2, 3)
        records = self.network.records.get(MessageKind.METRICS, {})
        gaps = self.board.gaps(records, trusted)
        while gaps:
            asked.append(gaps)
            gaps = self.board.take_earlier(records, gaps, asyncio.run(self.network.reports(gaps)), trusted)
        self.take(step)
        return asked

    def remember(self, number: int, steps: Iterable[int]) -> None:
        """Let a peer remember reports of some steps, the latest of which are in its record."""
        reports = [metrics(step) for step in steps]
        self.network.remembered[self.network.report(number, *reports[-MAX_METRICS:])] = reports

    def take(self, step: int) -> None:
        self.board.take(self.network.records.get(MessageKind.METRICS, {}), roster(step, 1, 2, 3))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.directory.metrics.read_text().splitlines()]


@pytest.fixture
def bench(directory: RunDirectory) -> Bench:
    return Bench(directory)


def test_each_peer_and_step_once(bench: Bench) -> None:
    bench.network.report(1, metrics(0), metrics(1))
    bench.take(2)
    bench.network.report(1, metrics(0), metrics(1), metrics(2))
    bench.take(3)
    bench.take(3)
    assert [line["step"] for line in bench.lines()] == [0, 1, 2]
    assert set(bench.lines()[0]) == {
        "time",
        "peer",
        "step",
        "loss",
        "samples",
        "samples_per_second",
        "mini_steps",
    }


def test_a_step_is_summed_up_when_all_have_reported(bench: Bench) -> None:
    bench.network.report(1, metrics(0, loss=1.0))
    bench.network.report(2, metrics(0, loss=2.0))
    bench.take(1)
    assert bench.kept.summaries == []
    bench.network.report(3, metrics(0, loss=None, rate=5.0))
    bench.take(1)
    assert bench.kept.summaries == [StepSummary(0, 1.5, 1.5, 3, 3, 12, 25.0, 3)]
    assert json.loads(bench.directory.steps.read_text())["loss"] == 1.5
    assert "loss 1.5000 (3 reports), 2 of 3 peers answer" in status_line(bench.kept.summaries[0], 2)


def test_or_when_it_has_waited_long_enough(bench: Bench) -> None:
    bench.network.report(1, metrics(0))
    bench.take(1)
    bench.clock.now = 6.0
    bench.take(1)
    assert [summary.reporting for summary in bench.kept.summaries] == [1]
    bench.network.report(2, metrics(0))
    bench.take(1)
    assert len(bench.kept.summaries) == 1
    assert len(bench.lines()) == 2


def test_a_liar_ahead_closes_no_step_early(bench: Bench) -> None:
    bench.network.report(1, metrics(90))
    bench.take(1)
    bench.clock.now = 100.0
    bench.take(1)
    for number in (2, 3):
        bench.network.report(number, metrics(1))
    bench.take(2)
    bench.clock.now = 200.0
    bench.take(2)
    assert [(summary.step, summary.reporting) for summary in bench.kept.summaries] == [(1, 2)]


def test_only_members_and_only_possible_steps(bench: Bench) -> None:
    bench.network.report(9, metrics(0))
    bench.network.report(1, metrics(RUN.total_steps))
    bench.take(1)
    assert bench.lines() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{" * 5000,
        b'{"steps": []}',
        b'{"steps": [{"step": 0}]}',
        b'{"steps": [{"step":0,"samples_per_second":NaN,"samples_accumulated":0,"loss":1,"mini_steps":1}]}',
        b'{"steps": [{"step":0,"samples_per_second":1e999,"samples_accumulated":0,"loss":1,"mini_steps":1}]}',
        b'{"steps": [{"step":-1,"samples_per_second":1,"samples_accumulated":0,"loss":1,"mini_steps":1}]}',
        b'{"steps": [{"step":"0","samples_per_second":1,"samples_accumulated":0,"loss":1,"mini_steps":1}]}',
    ],
)
def test_hostile_bodies(bench: Bench, body: bytes) -> None:
    bench.network.put(Envelope.sign(identity(1), run=RUN.run, step=0, kind=MessageKind.METRICS, body=body))
    bench.take(1)
    assert bench.lines() == []


def test_numbers_that_overflow_become_null(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.network.report(number, metrics(0, loss=1.7e308, rate=1.7e308))
    bench.take(1)
    line = json.loads(bench.directory.steps.read_text())
    assert line["loss"] is None
    assert line["samples_per_second"] is None


def test_memory_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 5)
    bench.network.report(1, *(metrics(step) for step in range(60)))
    bench.take(1)
    assert len(bench.board._open) <= 5


def test_a_restart_repeats_nothing(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.network.report(number, metrics(0), metrics(1))
    bench.take(2)
    bench.board.close()
    with bench.directory.metrics.open("a") as file:
        file.write('{"torn')
    bench.restart()
    bench.take(2)
    assert [summary.step for summary in bench.kept.summaries] == [0, 1]
    assert bench.directory.metrics.read_text().count('"step"') == 6


LONG = manifest(total_steps=5000)


@pytest.fixture
def long(directory: RunDirectory) -> Bench:
    return Bench(directory, LONG)


def test_missed_steps_are_asked_for_until_all_are_there(long: Bench) -> None:
    for number in (1, 2, 3):
        long.remember(number, range(5))
    long.catch_up(5)
    for number in (1, 2, 3):
        long.remember(number, range(2000))
    long.restart()
    assert [set(asked.values()) for asked in long.catch_up(2000)] == [{first} for first in range(5, 2000, 256)]
    assert [summary.step for summary in long.kept.summaries] == list(range(2000))
    assert {summary.reporting for summary in long.kept.summaries} == {3} and long.missed == []
    assert len(long.lines()) == 6000 and len({(line["peer"], line["step"]) for line in long.lines()}) == 6000


def test_records_that_go_back_far_enough_are_enough(long: Bench) -> None:
    for number in (1, 2, 3):
        long.remember(number, range(MAX_METRICS))
    assert long.catch_up(MAX_METRICS) == []
    for number in (1, 2, 3):
        long.remember(number, range(MAX_METRICS + 40))
    assert long.catch_up(MAX_METRICS + 40) == []


def test_a_newcomer_is_counted_in_the_steps_since(long: Bench) -> None:
    for number in (1, 2):
        long.remember(number, range(600))
    long.remember(3, range(560, 600))
    long.catch_up(600)
    reporting = [summary.reporting for summary in long.kept.summaries]
    assert reporting == [2] * 560 + [3] * 40


def test_what_nobody_remembers_is_named(long: Bench) -> None:
    for number in (1, 2, 3):
        long.remember(number, range(5))
    long.catch_up(5)
    for number in (1, 2, 3):
        long.remember(number, range(100, 300))
    long.catch_up(300)
    assert long.missed == [(5, 99)]
    assert [summary.step for summary in long.kept.summaries] == [*range(5), *range(100, 300)]
    long.board.flush(roster(310, 1, 2, 3))
    assert long.missed == [(5, 99), (300, 309)]


def test_a_roster_of_before_the_restart_loses_nothing(long: Bench) -> None:
    """A coordinator looks at records before it has found out how far the swarm is."""
    for number in (1, 2, 3):
        long.remember(number, range(800))
    for step in (0, 300, 600, 800):
        long.catch_up(step)
    assert [summary.step for summary in long.kept.summaries] == list(range(800)) and long.missed == []


@pytest.mark.parametrize("told", [[], [7], list(range(300, 600)), [10**6], list(range(100))])
def test_a_liar_that_is_asked_holds_up_nobody(long: Bench, told: list[int]) -> None:
    for number in (1, 2):
        long.remember(number, range(700))
    liar = long.network.report(3, *(metrics(step) for step in range(600, 600 + MAX_METRICS)))
    long.network.remembered[liar] = [metrics(step) for step in told]
    long.catch_up(700)
    assert len(long.network.asked) <= 4
    assert min(summary.reporting for summary in long.kept.summaries) >= 2
    assert [summary.step for summary in long.kept.summaries][:600] == list(range(600))


def test_reports_of_a_step_that_was_open_survive_a_restart(bench: Bench) -> None:
    bench.network.report(1, metrics(0))
    bench.network.report(2, metrics(0))
    bench.take(1)
    bench.restart()
    bench.network.report(3, metrics(0))
    bench.take(1)
    assert [summary.reporting for summary in bench.kept.summaries] == [3]
