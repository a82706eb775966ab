from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.heat import draw_heat
from btard.lab.study.html import Section, table_html, write_html
from btard.lab.study.spread import Shape, draw_spread

STEPS = range(6)


def curves(seeds: int = 3) -> pd.DataFrame:
    rows = [
        (rule, seed, step, level + 0.01 * seed * step, 1.0 / (step + 1))
        for rule, level in (("krum", 0.3), ("median", 0.6))
        for seed in range(seeds)
        for step in STEPS
    ]
    return pd.DataFrame(rows, columns=["series", "seed", "step", "accuracy", "loss"])


def words(figure: Exported) -> str:
    """The words of an SVG: matplotlib leaves each as a comment beside its outlines."""
    return figure.svg.read_text()


@pytest.fixture
def lines() -> Lines:
    return Lines(
        title="Accuracy under attack",
        value="accuracy",
        value_label="accuracy (share)",
        second="loss",
        second_label="loss (nats)",
        attacks=[(2, 4)],
        bans=[3],
        zoom=(1, 4),
        data="digits, 1,437 training samples",
    )


def test_a_figure_of_lines_says_what_it_shows(tmp_path: Path, lines: Lines) -> None:
    drawn = draw_lines(curves(), lines, tmp_path, "accuracy")
    text = words(drawn)
    for said in (
        "Accuracy under attack",
        "accuracy (share)",
        "loss (nats)",
        "3 seeds",
        "krum",
        "attack",
        "ban",
        "Data: digits, 1,437",
    ):
        assert f"<!-- {said}" in text or f"{said} -->" in text, said
    assert ElementTree.parse(drawn.svg) and drawn.png.stat().st_size > 1000


def test_the_table_of_a_figure_holds_what_is_drawn(tmp_path: Path, lines: Lines) -> None:
    table = pd.read_csv(draw_lines(curves(), lines, tmp_path, "accuracy").table)
    row = table[(table.series == "median") & (table.step == 5) & (table.value == "accuracy")].iloc[0]
    assert row["mean"] == pytest.approx(0.65) and row["seeds"] == 3 and row["deviation"] == pytest.approx(0.05)


@pytest.mark.parametrize("band", Band)
def test_one_seed_is_drawn_without_a_band(tmp_path: Path, band: Band) -> None:
    drawn = draw_lines(curves(1), Lines("one", "accuracy", "accuracy", band=band, data=""), tmp_path, "one")
    assert "seeds" not in words(drawn)


def test_the_same_numbers_give_the_same_file(tmp_path: Path, lines: Lines) -> None:
    first = draw_lines(curves(), lines, tmp_path / "a", "accuracy").svg.read_bytes()
    assert first == draw_lines(curves(), lines, tmp_path / "b", "accuracy").svg.read_bytes()


def test_a_refused_cell_is_crossed_out(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "rule": ["krum", "krum", "bulyan", "bulyan"],
            "attack": ["little", "empire"] * 2,
            "mean": [0.5, 0.8, 0.7, math.nan],
        }
    )
    drawn = draw_heat(
        table,
        tmp_path,
        "heat",
        title="Final accuracy",
        rows="rule",
        columns="attack",
        value="mean",
        label="accuracy",
        data="",
    )
    assert words(drawn).count("<!-- × -->") == 1 and "<!-- 0.8 -->" in words(drawn)


@pytest.mark.parametrize("shape", Shape)
def test_groups_say_how_many_runs_they_hold(tmp_path: Path, shape: Shape) -> None:
    frame = pd.DataFrame({"at": ["update"] * 4 + ["worker"] * 3, "accuracy": [0.1, 0.2, 0.4, math.nan, 0.8, 0.9, 0.85]})
    drawn = draw_spread(
        frame,
        tmp_path,
        "box",
        title="Maximum",
        group="at",
        value="accuracy",
        label="accuracy",
        data="digits",
        shape=shape,
        reference=0.9,
    )
    assert words(drawn).count("<!-- 3 runs -->") == 2


def test_a_report_needs_nothing_but_itself(tmp_path: Path, lines: Lines) -> None:
    figures = [draw_lines(curves(), lines, tmp_path, name) for name in ("one", "two")]
    table = pd.DataFrame({"rule": ["<krum>"], "accuracy": [0.123456]})
    write_html(tmp_path / "report.html", "A & B", [Section("First", ["1 < 2"], [table], figures)])
    text = (tmp_path / "report.html").read_text()
    assert "A &amp; B" in text and "1 &lt; 2" in text and "&lt;krum&gt;" in text and "0.1235" in text
    assert "<script" not in text and 'src="' not in text and "@import" not in text
    ids = [part.split('"')[0] for part in text.split('id="')[1:]]
    assert len(ids) == len(set(ids)) > 10
    targets = {part.split('"')[0] for part in text.split('href="#')[1:]} | {
        part.split(")")[0] for part in text.split("url(#")[1:]
    }
    assert targets and targets <= set(ids)


def test_what_is_unknown_is_a_dash() -> None:
    assert table_html(pd.DataFrame({"a": [math.nan], "b": [None]})).count("<td>-</td>") == 2
