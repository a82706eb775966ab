from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from btard.lab.sweep.estimate import SweepEstimate, estimated
from btard.lab.sweep.grid import Grid, planned
from btard.lab.sweep.telling import estimate_sentence

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
