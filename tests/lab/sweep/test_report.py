from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btard.errors import UserError
from btard.lab.metrics.tables import SCHEMA, TableName
from btard.lab.study.results import CompleteRun
from btard.lab.sweep.grid import Grid, planned
from btard.lab.sweep.missing_runs import prepare
from btard.lab.sweep.report import sections_of, study
from btard.lab.sweep.sweep import Sweep

GRID = Grid(
    name="made",
    base={"task": "digits", "workers": 11, "steps": 4},
    cases=[{}, {"attack": "nan", "attackers": 3, "declared": 3}, {"attack": "little", "attackers": 3, "declared": 3}],
    axes={"rule": ["mean", "krum", "bulyan"]},
    seeds=[1, 2],
)


def result(run: Any, accuracy: float) -> CompleteRun:
    """A run that has come to an accuracy, with a ban."""
    tables = {name: pd.DataFrame(columns=[column.name for column in SCHEMA[name]]) for name in TableName}
    rows = [{"step": step, "accuracy": accuracy * step / 4, "loss": 1.0, "parameters": "0"} for step in (0, 4)]
    tables[TableName.EVALUATIONS] = pd.DataFrame(rows)
    tables[TableName.BANS] = pd.DataFrame([{"step": 3, "worker": 9, "reason": "lottery", "honest": 0}])
    study_row = dict.fromkeys([column.name for column in SCHEMA[TableName.STUDY]], 0.001)
    tables[TableName.STUDY] = pd.DataFrame([{**study_row, "Honest gradient norm": 1.0}])
    return CompleteRun(Path("/nowhere"), {**run.labels, "seed": run.settings.seed}, run.settings, tables, "digits")


@pytest.fixture
def found() -> Sweep:
    runs = planned(GRID)
    accuracy = {"mean": {"none": 0.9, "nan": 0.1, "little": 0.5}, "krum": {"none": 0.8, "nan": 0.8, "little": 0.7}}
    made = [
        result(run, accuracy[str(run.labels["rule"])][str(run.labels.get("attack", "none"))] + 0.01 * run.settings.seed)
        for run in runs
        if run.labels["rule"] != "bulyan"
    ]
    return Sweep(made, [run for run in runs if run.refusal])


def table(found: Sweep, tmp_path: Path, heading: str) -> pd.DataFrame:
    section = next(one for one in sections_of(GRID, found, tmp_path) if one.heading == heading)
    return section.tables[0]


def test_each_rule_is_judged_by_its_worst_attack_too(found: Sweep, tmp_path: Path) -> None:
    rules = table(found, tmp_path, "Rules and attacks").set_index("rule")
    assert (rules.loc["mean", "at"], rules.loc["krum", "at"]) == ("nan", "little")
    assert rules.loc["krum", "worst"] == pytest.approx(0.715)


def test_refused_cells_are_crossed_in_the_one_heat_map(found: Sweep, tmp_path: Path) -> None:
    section = next(one for one in sections_of(GRID, found, tmp_path) if one.heading == "Rules and attacks")
    (figure,) = section.figures
    assert figure.svg.read_text().count("<!-- × -->") == 3, "two are refused, one has not run"


def test_pairs_differ_in_one_setting_alone(found: Sweep, tmp_path: Path) -> None:
    pairs = table(found, tmp_path, "Paired")
    row = pairs[(pairs["from"] == "mean") & (pairs["to"] == "krum")].iloc[0]
    assert row["pairs"] == 6 and row["change of accuracy (share)"] == pytest.approx((0.7 + 0.2 - 0.1) / 3)


def test_bans_and_bounds_have_their_tables(found: Sweep, tmp_path: Path) -> None:
    assert (table(found, tmp_path, "Bans")["mean"] == 3).all()
    ratio = table(found, tmp_path, "Ratio enough for the rule?")
    assert set(ratio["rule"]) == {"krum"} and (ratio["share of steps below eta squared"] == 1).all()


def test_finals_have_boxes_and_violins_of_their_seeds(found: Sweep, tmp_path: Path) -> None:
    section = next(one for one in sections_of(GRID, found, tmp_path) if one.heading == "Spread over seeds")
    assert [figure.svg.stem for figure in section.figures] == ["finals-0-box", "finals-0-violin"]
    assert all(figure.svg.read_text().count("<!-- 2 runs -->") == 6 for figure in section.figures)


def test_every_figure_names_its_data(found: Sweep, tmp_path: Path) -> None:
    figures = [figure for section in sections_of(GRID, found, tmp_path) for figure in section.figures]
    assert len(figures) >= 5
    assert all("<!-- Data: digits, 12 runs -->" in figure.svg.read_text() for figure in figures)


def test_a_folder_without_a_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep"):
        study(tmp_path)


def test_a_sweep_without_a_complete_run_is_told(tmp_path: Path) -> None:
    prepare(GRID, tmp_path)
    with pytest.raises(UserError, match="no run of the sweep"):
        study(tmp_path)
