"""Drawn checks find a lie after 1/s steps, and a ban follows; the study says so only where its runs do."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.lab.reproductions.reproduction import Judgement
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.delay_run import DelayRun, PersistentLie
from btard.lab.reproductions.staged.delays import (
    BAN_STEPS,
    delay_frame,
    delay_runs,
    delay_sections,
    delay_table,
    delay_trends,
)
from btard.lab.reproductions.staged.run import StagedResult
from tests.quick import quick


def result(
    share: float, found: int, *, steps: int = 400, bans: tuple[int, ...] = (1, 2), wrong: int = 0
) -> StagedResult:
    run = DelayRun(seed=1, steps=steps, share=share, lie=PersistentLie.DRIFT)
    told = {"steps": steps, "found": list(range(found)), "bans": list(bans)}
    return StagedResult(run, {**told, "honest_accused": 0, "honest_banned": wrong})


def verdicts(*results: StagedResult) -> list[Judgement]:
    return [trend.verdict for trend in delay_trends(delay_frame(results))]


@pytest.mark.parametrize("scale", Scale)
def test_every_share_is_tried_with_every_lie(scale: Scale) -> None:
    runs = delay_runs(scale, "builtin")
    assert len({run.file for run in runs}) == len(runs) == len({run.drawn_seed for run in runs})
    shares = {run.share for run in runs}
    assert 1.0 in shares and {(run.share, run.lie) for run in runs} == {
        (s, lie) for s in shares for lie in PersistentLie
    }


def test_a_delay_is_steps_over_lies_found() -> None:
    (row,) = delay_table(delay_frame([result(0.1, 40)])).to_dict("records")
    assert row["delay"] == row["expected"] == 10 and row["low"] < 10 < row["high"] and row["steps_to_ban"] == 1.5
    (none,) = delay_table(delay_frame([result(0.1, 0, bans=())])).to_dict("records")
    assert none["delay"] == none["high"] == float("inf")


def test_a_delay_far_from_the_law_is_not_shown() -> None:
    assert verdicts(result(0.1, 40), result(1.0, 400)) == [Judgement.SHOWN, Judgement.SHOWN]
    assert verdicts(result(0.1, 10))[0] is Judgement.NOT_SHOWN
    assert verdicts(result(0.1, 2, steps=20))[0] is Judgement.UNDECIDED


def test_a_late_ban_and_a_wrong_one_are_told() -> None:
    assert verdicts(result(1.0, 400, bans=(1, BAN_STEPS + 1)))[1] is Judgement.NOT_SHOWN
    assert verdicts(result(1.0, 400, bans=()))[1] is Judgement.NOT_SHOWN
    assert verdicts(result(1.0, 400, wrong=1))[1] is Judgement.NOT_SHOWN


def test_figure_and_table_stand_beside_the_law(tmp_path: Path) -> None:
    (section,) = delay_sections(delay_frame([result(0.1, 40), result(1.0, 400)]), tmp_path, "plays")
    assert len(section.tables) == len(section.figures) == 1 and list(tmp_path.iterdir())


@pytest.mark.parametrize("lie", quick(1, PersistentLie))
def test_a_liar_that_is_always_checked_goes_at_once(lie: PersistentLie, tmp_path: Path) -> None:
    found = DelayRun(seed=1, steps=3, share=1.0, lie=lie).carry_out(tmp_path)
    assert found["found"] == [0, 1, 2] and found["bans"] and max(found["bans"]) <= BAN_STEPS
    assert found["honest_accused"] == found["honest_banned"] == 0
