from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from btard.lab.sweep import estimate
from btard.lab.sweep.estimate import SweepEstimate, estimated
from btard.lab.sweep.grid import Grid, planned
from btard.lab.sweep.telling import estimate_sentence
from btard.lab.training.experiment import Experiment
from btard.lab.training.settings import ExperimentSettings

BASE: dict[str, Any] = {"task": "digits", "workers": 3, "steps": 20, "evaluate_every": 0, "batched": "off"}


def forecast(*cases: dict[str, Any]) -> SweepEstimate:
    return estimated(planned(Grid(name="tiny", base=BASE, cases=list(cases), seeds=2)), 1)


def test_a_forecast_ends_after_its_time() -> None:
    found = estimated(planned(Grid(name="tiny", base=BASE, axes={"workers": [3, 4, 5]}, seeds=1)), 1, most_seconds=0.0)
    assert (found.probed, found.kinds) == (1, 3)
    assert found.seconds is not None and found.seconds > 0


def test_runs_that_cannot_be_have_no_forecast_but_a_reason(tmp_path: Path) -> None:
    nowhere = {"task": "images", "data": str(tmp_path / "nowhere")}
    found = forecast({"workers": 3, **nowhere}, {"workers": 4, **nowhere})
    assert found.seconds is None and len(found.refusals) == 2
    said = estimate_sentence(found, 4, 2)
    assert "no forecast" in said and "2 cannot run" in said and "nowhere" in said


def test_a_forecast_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    estimated(planned(Grid(name="tiny", base=BASE, seeds=1)), before + 1, most_seconds=0.0)
    assert torch.get_num_threads() == before


def test_the_others_are_timed_beside_runs_that_cannot_be(tmp_path: Path) -> None:
    found = forecast({}, {"task": "images", "data": str(tmp_path / "nowhere")})
    assert found.seconds is not None and found.seconds > 0 and len(found.refusals) == 1


def test_of_many_alike_some_from_all_over_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def cost(settings: ExperimentSettings) -> estimate._Cost:
        tried.append(settings.workers)
        return estimate._Cost(0.0, 0.0, 0.0)

    monkeypatch.setattr(estimate, "_measured", cost)
    many = Grid(name="tiny", base=BASE, axes={"workers": list(range(3, 63))}, seeds=1)
    found = estimated(planned(many), 1)
    assert (found.probed, found.kinds) == (12, 60)
    assert max(tried) - min(tried) > 30  # the first twelve are 3 to 14


def test_a_forecast_counts_what_comes_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_measured", lambda _: estimate._Cost(start=5.0, step=0.1, evaluation=0.5))
    runs = planned(Grid(name="tiny", base={**BASE, "evaluate_every": 10}, seeds=2))
    assert estimated(runs, 1).seconds == pytest.approx(2 * (5.0 + 20 * 0.1 + 3 * 0.5))


def test_a_forecast_times_steps_under_attack() -> None:
    attacked = {"attackers": 1, "attack": "sign_flip", "attack_start": 15}
    measured: list[int] = []
    made = estimate.Experiment

    def noted(settings: ExperimentSettings) -> Experiment:
        measured.append(settings.attack_start)
        return made(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "Experiment", noted)
        assert forecast(attacked).seconds is not None
    assert set(measured) == {0}
