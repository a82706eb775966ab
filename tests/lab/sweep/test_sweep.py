from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from btard.errors import UserError
from btard.lab.study.results import runs_frame
from btard.lab.sweep import versions
from btard.lab.sweep.grid import Grid
from btard.lab.sweep.missing_runs import CHOSEN_FILE
from btard.lab.sweep.running import Order, Outcome, carry_out
from btard.lab.sweep.settings import ManyRunsSettings
from btard.lab.sweep.sweep import sweep
from btard.lab.sweep.tuning import chosen
from btard.vocabulary import ExitCode

BASE = {"task": "digits", "workers": 5, "steps": 4, "evaluate_every": 2, "learning_rate": 0.1, "batched": "off"}


def grid(**changes: Any) -> Grid:
    given: dict[str, Any] = {"name": "tiny", "base": BASE, "axes": {"rule": ["mean", "coordinate_median"]}, "seeds": 2}
    return Grid(**{**given, **changes})


def settings(output: Path, **changes: Any) -> ManyRunsSettings:
    return ManyRunsSettings(output=output, **{"jobs": 2, "estimate": False, **changes})


def here(orders: Sequence[Order], stopped: Callable[[], bool]) -> Iterator[tuple[Order, Outcome]]:
    """Carries runs out in this process."""
    return ((order, carry_out(order)) for order in orders)


def runs_of(output: Path) -> list[Path]:
    return sorted((output / "runs").iterdir())


def test_all_runs_are_done_and_none_twice(tmp_path: Path) -> None:
    found = sweep(grid(), settings(tmp_path), here)
    assert found.tally.completed == 4 and found.exit_code is ExitCode.FINISHED
    frame = runs_frame(found.results)
    assert sorted(zip(frame["rule"], frame["seed"], strict=True)) == [
        ("coordinate_median", 1),
        ("coordinate_median", 2),
        ("mean", 1),
        ("mean", 2),
    ]
    assert frame["final"].between(0, 1).all() and (frame["steps"] == 4).all()
    again = sweep(grid(seeds=3), settings(tmp_path), here)
    assert (again.tally.done_before, again.tally.completed) == (4, 2)


def test_a_removed_run_alone_is_run_again_with_the_same_result(tmp_path: Path) -> None:
    sweep(grid(), settings(tmp_path), here)
    lost = runs_of(tmp_path)[1]
    before = (lost / "evaluations.csv").read_bytes()
    for file in lost.iterdir():
        file.unlink()
    lost.rmdir()
    assert sweep(grid(), settings(tmp_path), here).tally.completed == 1
    assert (lost / "evaluations.csv").read_bytes() == before


def test_results_of_other_code_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(grid(seeds=1), settings(tmp_path), here)
    monkeypatch.setattr(versions, "code_version", lambda decides: "0" * 16)
    assert sweep(grid(seeds=1), settings(tmp_path), here).tally.completed == 2
    assert len(runs_of(tmp_path)) == 4


def test_a_run_that_fails_is_kept_apart_with_its_reason(tmp_path: Path) -> None:
    cases = [{"rule": "mean"}, {"rule": "mean", "loss": "no_such_loss"}]
    found = sweep(grid(cases=cases, axes={}, seeds=1), settings(tmp_path), here)
    assert found.tally.completed == 1 and found.exit_code is ExitCode.FAILED
    ((path, reason),) = found.tally.failed
    assert "no_such_loss" in reason and not path.exists()
    assert len(found.results) == 1


def test_a_refused_run_is_told_and_fails_nothing(tmp_path: Path) -> None:
    base = {**BASE, "attack": "nan", "attackers": 1, "rule": "trimmed_mean"}
    found = sweep(grid(base=base, axes={"declared": [1, 3]}, seeds=1), settings(tmp_path), here)
    assert (found.tally.completed, found.tally.refused) == (1, 1)
    assert found.exit_code is ExitCode.FINISHED and found.refused[0].labels == {"declared": 3}


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(grid(), settings(tmp_path / "new", dry_run=True, estimate=True), here)
    said = capsys.readouterr().out
    assert said.count("missing") == 4 and "4 runs, 2 at a time: about" in said
    assert not (tmp_path / "new").exists()


def test_the_sweep_of_another_grid_is_not_mixed_in(tmp_path: Path) -> None:
    sweep(grid(seeds=1), settings(tmp_path), here)
    with pytest.raises(UserError, match="another grid"):
        sweep(grid(name="other"), settings(tmp_path), here)


def test_each_group_gets_the_value_that_is_best_for_it() -> None:
    tuned = grid(tune={"values": [0.5, 0.1], "by": ["rule"]})
    rows = [("mean", 0.5, 0.2), ("mean", 0.1, 0.9), ("coordinate_median", 0.5, 0.7), ("coordinate_median", 0.1, 0.7)]
    frame = pd.DataFrame(rows, columns=["rule", "learning_rate", "score"])
    assert chosen(tuned, frame) == [({"rule": "mean"}, 0.1), ({"rule": "coordinate_median"}, 0.5)]


def test_a_radius_can_be_tuned_in_the_rule(tmp_path: Path) -> None:
    """Of two radii, one is so large that a liar is not clipped."""
    radii = ["centered_clip:tau=1000000000.0", "centered_clip:tau=1"]
    base = {**BASE, "rule": radii[0], "steps": 12, "attack": "sign_flip:scale=1000", "attackers": 1}
    tuned = grid(base=base, axes={}, seeds=1, tune={"setting": "rule", "values": radii})
    found = sweep(tuned, settings(tmp_path), here)
    assert [result.settings.rule for result in found.results] == radii[1:]


def test_what_is_tuned_is_what_runs_use(tmp_path: Path) -> None:
    base = {key: value for key, value in BASE.items() if key != "learning_rate"}
    tuned = grid(base=base, seeds=1, tune={"values": [1e-9, 0.2], "by": ["rule"], "steps": 30})
    found = sweep(tuned, settings(tmp_path), here)
    told = yaml.safe_load((tmp_path / CHOSEN_FILE).read_text())
    assert [(one["rule"], one["learning_rate"]) for one in told] == [("mean", 0.2), ("coordinate_median", 0.2)]
    for result in found.results:
        assert yaml.safe_load((result.directory / "settings.yaml").read_text())["learning_rate"] == 0.2


FORKED: dict[str, Any] = {
    "base": {**BASE, "steps": 6},
    "axes": {},
    "cases": [{"attackers": 1, "attack": "sign_flip", "attack_start": 4}, {"topology": "butterfly"}],
    "fork": {"at": 2},
}


def test_forks_go_on_from_one_state_and_are_resumed(tmp_path: Path) -> None:
    found = sweep(grid(**FORKED), settings(tmp_path), here)
    assert found.tally.completed == 4
    tables = [result.tables["evaluations"] for result in found.results]
    assert all(table["step"].tolist() == [2, 4, 6] for table in tables)
    assert len({table["parameters"].iloc[0] for table in tables}) == 1, "all begin with the same weights"
    assert sweep(grid(**FORKED), settings(tmp_path), here).tally.completed == 0
    later = sweep(grid(**{**FORKED, "fork": {"at": 3}}), settings(tmp_path), here)
    assert later.tally.completed == 4, "a fork of another step is another run"


def test_a_fork_of_an_attacked_base_is_refused() -> None:
    with pytest.raises(ValueError, match="without attack"):
        grid(**{**FORKED, "base": {**BASE, "attackers": 1, "attack": "nan"}})
