"""Weights & Biases gets the published names, and its failures cost nothing else."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from btard.coordinator.telemetry.metrics import StepSummary
from btard.coordinator.telemetry.wandb_sink import WandbSink
from btard.errors import UserError
from btard.vocabulary import WandbMode
from tests.coordinator.swarm import manifest
from tests.swarm.telemetry.test_wandb_run import history

SUMMARY = StepSummary(7, 1.5, 1.4, 3, 4, 12, 25.0, 3)


class FakeRun:
    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.finished = self.broken = False

    def log(self, point: dict[str, Any], step: int) -> None:
        if self.broken:
            raise RuntimeError("offline")
        self.points.append(point)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    run = FakeRun()
    module = types.ModuleType("wandb")
    module.init = lambda **settings: run if settings["mode"] == "offline" else 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return run


def test_points_have_the_published_names(run: FakeRun, tmp_path: Path) -> None:
    sink = WandbSink(WandbMode.OFFLINE, "btard", manifest(), tmp_path)
    sink.log(SUMMARY)
    run.broken = True
    sink.log(SUMMARY)
    sink.close()
    (point,) = run.points
    assert point == {
        "loss": 1.5,
        "median loss": 1.4,
        "alive peers": 4,
        "samples": 12,
        "performance": 25.0,
        "step": 7,
    }
    assert run.finished


def test_the_real_package_keeps_them_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    sink = WandbSink(WandbMode.OFFLINE, "btard", manifest(), tmp_path)
    sink.log(SUMMARY)
    sink.close()
    kept, (point,) = history(tmp_path)
    assert (kept.run_id, kept.run_group, kept.display_name) == (manifest().run_id, manifest().run_id, "test")
    assert {"loss": 1.5, "median loss": 1.4, "alive peers": 4, "samples": 12, "_step": 7}.items() <= point.items()


def test_a_start_that_is_refused(run: FakeRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wandb refuses to start"):
        WandbSink(WandbMode.ONLINE, "btard", manifest(), tmp_path)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="needs the package wandb"):
        WandbSink(WandbMode.OFFLINE, "btard", manifest(), tmp_path)
