from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from btard.errors import UserError
from btard.lab.sweep.grid import Grid, planned, read_grid

BASE = {"task": "digits", "workers": 11, "steps": 10}


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_axes_cases_and_seeds_are_combined() -> None:
    grid = Grid(
        name="all",
        base=BASE,
        cases=[{}, {"attack": "nan", "attackers": 2}],
        axes={"rule": ["mean", "coordinate_median"], "momentum_at": ["update", "worker"]},
        seeds=[3, 4, 5],
    )
    runs = planned(grid)
    assert len(runs) == 2 * 2 * 2 * 3
    assert len({run.settings.digest for run in runs}) == len(runs)
    assert {run.settings.attackers for run in runs} == {0, 2}
    assert len({run.name for run in runs}) == len(runs)


def test_a_number_of_seeds_stands_for_one_to_it() -> None:
    assert Grid(name="a", seeds=3).seeds == [1, 2, 3]  # type: ignore[arg-type]


def test_a_rule_that_needs_more_workers_is_refused_and_told() -> None:
    grid = Grid(
        name="refusals",
        base={**BASE, "attack": "nan", "attackers": 2, "rule": "trimmed_mean"},
        axes={"declared": [2, 6]},
    )
    possible, refused = planned(grid)
    assert possible.refusal is None
    assert refused.refusal is not None and "6" in refused.refusal


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": {"rul": ["mean"]}}, "rul is no setting"),
        ({"base": {"seed": 1}}, "seed is no setting"),
        ({"base": {"output": "x"}}, "output is no setting"),
        ({"cases": [{"rule": "mean"}], "axes": {"rule": ["mean"]}}, "rule is varied twice"),
        ({"axes": {"rule": []}}, "axes.rule"),
        ({"seeds": 0}, "seeds"),
        ({"name": "with blanks"}, "name"),
        ({"cases": []}, "cases"),
        ({"tune": {"setting": "rule", "values": ["mean", "krum"]}, "axes": {"rule": ["mean"]}}, "rule is varied twice"),
        ({"tune": {"values": [0.1]}}, "tune.values"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    import yaml

    path = written(tmp_path / "grid.yaml", yaml.safe_dump({"name": "a", **changes}))
    with pytest.raises(UserError, match=said):
        read_grid(path)


@pytest.mark.parametrize("text", ["a: [", "- 1", "7", ""])
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="grid"):
        read_grid(written(tmp_path / "grid.yaml", text))


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_grid(Path("/nowhere/grid.yaml"))


def test_a_combination_that_contradicts_itself_is_named() -> None:
    grid = Grid(name="a", base={**BASE, "attack": "nan"}, axes={"attackers": [1, 11]})
    with pytest.raises(UserError, match=r"attackers 11.*must be honest"):
        planned(grid)


def test_the_same_run_twice_is_refused() -> None:
    with pytest.raises(UserError, match="same run twice"):
        planned(Grid(name="a", base=BASE, axes={"momentum": [0.5, 0.5]}))


def test_a_grid_without_end_is_refused_before_it_is_made() -> None:
    axes = {"momentum": [i / 2000 for i in range(1001)], "learning_rate": [1 + i for i in range(1001)]}
    with pytest.raises(UserError, match="at most 1000000"):
        planned(Grid(name="a", base=BASE, axes=axes))
