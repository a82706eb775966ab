from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btard.lab.reproductions import albert, breakdown, centered_clip, mnist
from btard.lab.reproductions.command import known_reproductions, reproduce, reproduction_of
from btard.lab.reproductions.reproduction import Judgement
from btard.lab.reproductions.resnet.grids import BTARD, NO_DEFENCE, SERVER_RULES, WHOLE, attack_name, defence_of
from btard.lab.reproductions.resnet.study import grid_trends
from btard.lab.reproductions.settings import ReproduceSettings, Scale
from btard.lab.sweep.grid import planned
from btard.vocabulary import ExitCode

STUDIES = ["mnist", "btard-resnet", "btard-albert", "centered-clip", "breakdown"]


@pytest.mark.parametrize("scale", Scale)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_planned_and_says_its_size(name: str, scale: Scale) -> None:
    study = known_reproductions()[name]
    grids = study.grids(scale)
    assert len({grid.name for grid in grids}) == len(grids)
    for grid in grids:
        runs = planned(grid)
        assert len(runs) == len(grid.cases) * len(grid.seeds)
        assert name == "breakdown" or not [run for run in runs if run.refusal]
    assert all(sentence.endswith(".") for sentence in study.scaled_down(scale))


def test_the_published_scenarios_are_run_with_enough_seeds() -> None:
    counts = {grid.name: len(planned(grid)) for grid in reproduction_of("mnist").grids(Scale.SMALL)}
    assert counts == {"aggressive": 7 * 10, "mild": 7 * 3}


def test_seven_attacks_meet_the_protocol_and_rules_five_times() -> None:
    for grid in reproduction_of("btard-resnet").grids(Scale.SMALL):
        attacked = [case for case in grid.cases if "attack" in case]
        assert len({attack_name(case) for case in attacked}) == 7
        defences = {defence_of(case) for case in attacked}
        assert {*SERVER_RULES, NO_DEFENCE} < defences
        if grid.name.startswith("protocol"):
            assert WHOLE in defences and len(grid.seeds) == 5 and grid.fork is None
        else:
            assert BTARD in defences and grid.fork is not None


def test_rules_refuse_attackers_beyond_their_proof() -> None:
    (grid,) = reproduction_of("breakdown").grids(Scale.SMALL)
    refused = {(run.labels["rule"], run.labels["attackers"]) for run in planned(grid) if run.refusal}
    assert refused == {("bulyan", liars) for liars in (15, 20, 25)} | {("krum", 25)}


def table(rows: dict[tuple[str, ...], list[float]], *columns: str, **more: Any) -> pd.DataFrame:
    found = [
        {**dict(zip(columns, key, strict=True)), "seed": seed, "final": value, **more}
        for key, values in rows.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(found)


def verdicts(trends: list[Any]) -> list[Judgement]:
    return [trend.verdict for trend in trends]


@pytest.mark.parametrize(("worst", "verdict"), [(90.0, Judgement.SHOWN), (98.9, Judgement.NOT_SHOWN)])
def test_constant_direction_is_lowest_only_if_it_is(worst: float, verdict: Judgement) -> None:
    near = [98.0, 98.1, 98.2]
    rows = {("none",): near, (mnist.WORST,): [worst, worst + 0.1, worst + 0.2], ("label_flip",): near}
    found = mnist.trends(table(rows, "attack"), decides=True)
    assert verdicts(found) == [verdict, Judgement.SHOWN]
    assert set(verdicts(mnist.trends(table(rows, "attack"), decides=False))) == {Judgement.UNDECIDED}


def test_btard_is_judged_against_its_own_unattacked_runs() -> None:
    good, poor, lost = [80.0, 80.1, 80.2], [60.0, 60.1, 60.2], [10.0, 10.1, 10.2]
    rows = {(BTARD, "none"): good, (BTARD, "sign flip"): good, (NO_DEFENCE, "sign flip"): lost}
    rows |= {(rule, "sign flip"): poor for rule in SERVER_RULES}
    frame = table(rows, "defence", "attack", bans=7, honest_bans=0, attackers=7.0)
    assert verdicts(grid_trends(frame, "grid", decides=True)) == [Judgement.SHOWN] * 4
    rows[BTARD, "sign flip"] = lost
    frame = table(rows, "defence", "attack", bans=7, honest_bans=1, attackers=7.0)
    assert verdicts(grid_trends(frame, "grid", decides=True)) == [Judgement.SHOWN] + [Judgement.NOT_SHOWN] * 3


def test_a_model_that_has_nothing_to_lose_decides_nothing() -> None:
    rows = {("no attack",): [3.0, 3.0], ("sign flip",): [3.0, 3.1]}
    frame = table(rows, "run").rename(columns={"final": "final_loss"}).assign(at_fork=3.1)
    (only,) = albert.loss_trends(frame, "albert", decides=True)
    assert only.verdict is Judgement.UNDECIDED and "nothing that an attack could take" in only.found
    learns = frame.assign(at_fork=4.0)
    learns.loc[learns["run"] == "sign flip", "final_loss"] = [3.01, 3.02]
    assert albert.loss_trends(learns, "gpt", decides=True)[0].verdict is Judgement.SHOWN
    assert verdicts(albert.loss_trends(learns, "albert", decides=True, learns=False)) == [Judgement.UNDECIDED]


@pytest.mark.parametrize(
    ("losses", "steps"),
    [([2, 2, 2, 2], 0), ([2, 3, 9, 2.05], 20), ([2, math.nan, 2, 1], 10), ([2, 2, 2, 3], math.nan)],
)
def test_recovery_counts_steps_until_loss_stays_low(losses: list[float], steps: float) -> None:
    evaluations = pd.DataFrame({"step": [0, 10, 20, 30], "loss": losses})
    assert albert.recovery_steps(evaluations, 10) == pytest.approx(steps, nan_ok=True)


def test_momentum_and_clipping_are_judged_under_alie() -> None:
    low, high = [50.0, 50.1, 50.2], [90.0, 90.1, 90.2]
    rows: dict[tuple[Any, ...], list[float]] = {}
    for rule in centered_clip.RULES:
        rows[rule, centered_clip.ALIE, 0.0] = low
        rows |= {(rule, centered_clip.ALIE, mu): high for mu in (0.9, 0.99)}
    found = centered_clip.trends(table(rows, "rule", "attack", "momentum"), decides=True)
    assert verdicts(found) == [Judgement.SHOWN] * 7
    rows[centered_clip.CLIP, centered_clip.ALIE, 0.9] = low
    found = centered_clip.trends(table(rows, "rule", "attack", "momentum"), decides=True)
    assert verdicts(found)[0] is Judgement.NOT_SHOWN and verdicts(found)[1] is Judgement.SHOWN


def test_bans_are_compared_at_the_largest_share_of_a_rule() -> None:
    rows: dict[tuple[Any, ...], list[float]] = {}
    for share, points in ((0.1, [80.0, 80.1]), (0.4, [20.0, 20.1])):
        rows["krum", "ALIE", "no bans", share] = points
        rows["krum", "ALIE", "lottery", share] = [80.0, 80.1]
    rows["krum", "ALIE", "no bans", 0.49] = rows["krum", "ALIE", "lottery", 0.49] = [math.nan, math.nan]
    frame = table(rows, "rule", "attack", "policy", "share")
    found = breakdown.trends(frame, decides=True)
    assert "krum: +60.00" in found[-1].found and found[-1].verdict is Judgement.SHOWN


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_the_smoke_scale_writes_its_report(name: str, tmp_path: Path) -> None:
    assert reproduce(reproduction_of(name), ReproduceSettings(output=tmp_path, estimate=False)) is ExitCode.FINISHED
    report = (tmp_path / f"{name}-smoke" / "report.html").read_text()
    assert "<svg" in report and "undecided" in report and "everything works" in report
