"""The study of lying stages: what it runs, and what it says of what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from btard.lab.reproductions.command import reproduction_of
from btard.lab.reproductions.reproduction import Judgement, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.attack import PipelineAttack, attack_frame, attack_trends
from btard.lab.reproductions.staged.attack_run import AttackRun, StageDefence
from btard.lab.reproductions.staged.origin import TrainedOrigin
from btard.lab.reproductions.staged.run import StagedResult
from btard.pipeline.defence.attacks import MessageLie

ORIGIN = TrainedOrigin(steps=2)


def result(defence: StageDefence, perplexity: float, seed: int, **how: Any) -> StagedResult:
    lie = {} if how.pop("clean", False) else {"rate": 0.7, "forward": MessageLie.REVERSE}
    noticed = how.pop("noticed", 7)
    run = AttackRun(steps=10, origin=ORIGIN, learning_rate=0.1, defence=defence, seed=seed, **{**lie, **how})
    found = {"perplexity": perplexity, "attacked": 7 if run.rate else 0, "noticed": noticed if run.rate else 0}
    return StagedResult(run, {**found, "false_alarms": 0, "alarms": 0, "attempts": 10, "losses": [1.0]})


def results(**changed: Any) -> list[StagedResult]:
    perplexities = {"none": 30.0, "restart": 10.3, "relay": 10.1, "strangers": 10.2, **changed}
    noticed = perplexities.pop("noticed", 7)
    rows = [result(StageDefence.NONE, 10.0 + seed, seed, clean=True) for seed in (0, 1, 2)]
    back = {"forward": None, "backward": MessageLie.NOISE}
    rows += [result(StageDefence.RELAY, 10.0 + seed, seed, noticed=noticed, **back) for seed in (0, 1, 2)]
    for defence in StageDefence:
        base = perplexities[defence.name.lower()]
        rows += [result(defence, base * (10 + seed) / 10, seed, noticed=noticed) for seed in (0, 1, 2)]
    return rows


def judged(rows: list[StagedResult], **how: Any) -> dict[str, Trend]:
    return {trend.claim: trend for trend in attack_trends(attack_frame(rows), **{"decides": True, **how})}


@pytest.mark.parametrize("scale", Scale)
def test_the_attack_study_is_known_and_plans_its_runs(scale: Scale) -> None:
    study = reproduction_of("pipeline-attack")
    assert isinstance(study, PipelineAttack)
    runs = study.runs(scale, "builtin")
    assert len({run.file for run in runs}) == len(runs) == len({run.name for run in runs})
    assert all(sentence.endswith(".") for sentence in study.scaled_down(scale))


def test_the_small_scale_has_three_rates_and_three_seeds() -> None:
    planned = PipelineAttack().runs(Scale.SMALL, "builtin")
    runs = [run for run in planned if isinstance(run, AttackRun) and not run.granted]
    tuned = [run for run in runs if run.origin is not None and run.forward is MessageLie.REVERSE]
    assert {run.rate for run in tuned} == {0.3, 0.5, 0.7}
    assert {(run.defence, run.seed) for run in tuned} == {(how, seed) for how in StageDefence for seed in (1, 2, 3)}


def test_perplexity_is_compared_with_the_clean_run_of_its_seed() -> None:
    frame = attack_frame(results())
    assert frame.loc[frame["defence"] == "undefended", "over"].tolist() == pytest.approx([200.0] * 3)
    assert frame.loc[frame["defence"] == "clean", "over"].tolist() == [0.0] * 3


def test_defences_are_judged_by_their_margins() -> None:
    found = judged(results())
    assert {trend.verdict for claim, trend in found.items() if "tenfold" not in claim} == {Judgement.SHOWN}
    assert found["The damage is tenfold"].verdict is Judgement.NOT_SHOWN
    far = judged(results(relay=10.4, strangers=10.4))
    assert far["skip, trusted relay, rate 0.7: within 3 % of clean perplexity"].verdict is Judgement.NOT_SHOWN
    assert far["skip, no relay, rate 0.7: within 5 % of clean perplexity"].verdict is Judgement.SHOWN
    assert judged(results(), decides=False).popitem()[1].verdict is Judgement.UNDECIDED


def test_one_lie_that_is_not_noticed_is_told() -> None:
    missed = judged(results(noticed=6))
    claim, back = [claim for claim in missed if claim.startswith("Every lie")]
    assert missed[claim].verdict is Judgement.NOT_SHOWN and "54 of 63" in missed[claim].found
    assert missed[back].verdict is Judgement.NOT_SHOWN and "18 of 21" in missed[back].found


def run_with(tmp_path: Path, **how: Any) -> dict[str, Any]:
    run = AttackRun(**{"split": "1-1-1", "steps": 4, "origin": None, "learning_rate": 1e-3, "seed": 3, **how})
    found = dict(run.carry_out(tmp_path))
    assert not list(tmp_path.iterdir())
    return found


@pytest.mark.parametrize("lie", ["forward", "backward"])
def test_a_run_notices_lies_both_ways(lie: str, tmp_path: Path) -> None:
    lies = {"rate": 0.5, lie: MessageLie.NOISE}
    undefended, relay = (run_with(tmp_path, **lies, defence=how) for how in (StageDefence.NONE, StageDefence.RELAY))
    assert 0 < relay["attacked"] < 4 and relay["noticed"] == relay["attacked"] == undefended["attacked"]
    assert undefended["noticed"] == 0


def test_restart_trains_as_an_honest_run_but_less(tmp_path: Path) -> None:
    lies = {"rate": 0.6, "forward": MessageLie.REVERSE, "steps": 6}
    clean = run_with(tmp_path, steps=6)
    again = run_with(tmp_path, **lies, defence=StageDefence.RESTART)
    passed_by = run_with(tmp_path, **lies, defence=StageDefence.RELAY)
    assert 0 < again["iterations"] < 6 and again["attempts"] <= passed_by["attempts"]
    assert again["losses"] == clean["losses"][: again["iterations"]]
    assert again["noticed"] == again["attacked"] > 0


def test_a_lie_within_what_is_granted_raises_no_alarm(tmp_path: Path) -> None:
    how = {"split": "1-1-1-1-1", "defence": StageDefence.RELAY}
    clean, within = (run_with(tmp_path, **how, granted=granted) for granted in (0.0, 0.5))
    assert within["alarms"] == clean["alarms"] == 0 and within["losses"] != clean["losses"]
