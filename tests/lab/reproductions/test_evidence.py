from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from btard.lab.metrics.tables import TableName
from btard.lab.reproductions import evidence
from btard.lab.reproductions.evidence import (
    all_of,
    attack_curves,
    ban_steps,
    difference,
    is_above,
    is_within,
    points_frame,
    spread_table,
    told,
)
from btard.lab.reproductions.reproduction import Judgement
from btard.lab.study.curves import Lines
from btard.lab.study.results import CompleteRun
from btard.lab.training.settings import ExperimentSettings


def frame(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"seed": range(len(values)), "final": values})


def test_a_difference_is_of_pairs_with_the_same_seed() -> None:
    found = difference(frame(90, 91, 92), frame(80, 82, 84).iloc[::-1])
    assert (found.mean, found.seeds) == (pytest.approx(9.0), 3) and "+9.00 points, 95 % from" in told(found)


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        ([2, 2.1, 1.9], 0, Judgement.SHOWN),
        ([-2, -2.1, -1.9], 0, Judgement.NOT_SHOWN),
        ([-1, 1, 2], 0, Judgement.UNDECIDED),
        ([2, 2.1, 1.9], 5, Judgement.NOT_SHOWN),
        ([20], 0, Judgement.UNDECIDED),
    ],
)
def test_a_claim_of_more_is_judged_by_its_interval(values: list[float], margin: float, verdict: Judgement) -> None:
    assert is_above(difference(frame(*values), frame(*[0] * len(values))), margin) is verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.1, -0.1, 0.2], Judgement.SHOWN),
        ([5, 5.1, 5.2], Judgement.NOT_SHOWN),
        ([0, 0, 3], Judgement.UNDECIDED),
        ([0.1], Judgement.UNDECIDED),
    ],
)
def test_a_claim_of_nearness_is_judged_by_its_interval(values: list[float], verdict: Judgement) -> None:
    assert is_within(difference(frame(*values), frame(*[0] * len(values))), 1.0) is verdict


def test_a_claim_of_several_things_needs_all_of_them() -> None:
    assert all_of([Judgement.SHOWN, Judgement.SHOWN]) is Judgement.SHOWN
    assert all_of([Judgement.SHOWN, Judgement.UNDECIDED]) is Judgement.UNDECIDED
    assert all_of([Judgement.UNDECIDED, Judgement.NOT_SHOWN]) is Judgement.NOT_SHOWN
    assert all_of([]) is Judgement.UNDECIDED


def result(seed: int, attack: str | None, accuracies: list[float], bans: list[int]) -> CompleteRun:
    evaluations = pd.DataFrame({"step": [0, 10], "accuracy": accuracies, "loss": [2.0, float("nan")]})
    tables = {
        TableName.EVALUATIONS: evaluations,
        TableName.STEPS: pd.DataFrame({"step": range(10)}),
        TableName.BANS: pd.DataFrame({"step": bans, "worker": bans, "honest": [0] * len(bans)}),
    }
    labels = {"seed": seed} if attack is None else {"seed": seed, "attack": attack}
    return CompleteRun(Path(), labels, ExperimentSettings(), tables, "digits")


RUNS = [result(1, None, [0.1, 0.9], []), result(2, "alie", [0.1, 0.7], [4]), result(1, "alie", [0.1, 0.5], [3, 6])]


def test_tables_hold_mean_interval_and_number_of_seeds() -> None:
    table = spread_table(points_frame(RUNS), ["attack"]).set_index("attack")
    assert table.loc["alie", ["mean", "seeds"]].tolist() == [pytest.approx(60.0), 2]
    assert table.loc["none", "mean"] == pytest.approx(90.0) and table.loc["alie", "95 % from"] < 50


def test_marks_of_bans_are_those_of_the_first_seed(tmp_path: Path) -> None:
    assert ban_steps(RUNS[1:]) == [3.0, 6.0] and ban_steps([]) == []
    drawn = attack_curves(
        RUNS,
        lambda labels: str(labels.get("attack", "none")),
        tmp_path,
        "curves",
        title="Curves",
        window=(2, 10),
        bans_of="alie",
    )
    assert drawn is not None and "bans: alie, first seed" in drawn.title and drawn.png.exists()
    assert drawn.table.read_text().count("alie") == 2


def test_a_loss_that_explodes_leaves_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Lines] = []
    monkeypatch.setattr(evidence, "draw_lines", lambda _, lines, *__: shown.append(lines))
    for highest in (3.0, None):
        attack_curves(
            RUNS, lambda _: "x", tmp_path, "loss", title="", window=None, value="loss", label="", highest=highest
        )
    assert [lines.limits for lines in shown] == [(2.0, 3.0), None]


def test_losses_that_are_no_numbers_are_not_drawn(tmp_path: Path) -> None:
    assert attack_curves([], lambda _: "", tmp_path, "none", title="", window=None) is None
    drawn = attack_curves(RUNS, lambda _: "x", tmp_path, "loss", title="", window=None, value="loss", label="loss")
    assert drawn is not None and drawn.table.read_text().count("\n") == 2
