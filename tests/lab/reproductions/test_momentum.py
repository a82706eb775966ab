from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from btard.lab.reproductions.momentum.grids import LEGACY, cases, data_sets
from btard.lab.reproductions.momentum.pairs import learned, loss_table, pairs, recovery_table
from btard.lab.reproductions.momentum.study import MomentumStudy, configurations
from btard.lab.reproductions.settings import Scale
from btard.lab.sweep.grid import planned


def test_the_published_grid_has_as_many_runs() -> None:
    counts = configurations(Scale.PAPER)
    assert counts == {"mnist": 184, "fashion_mnist": 184, "cifar10": 184, "cifar100": 184, "appendix": 22}
    legacy = [grid for grid in MomentumStudy().grids(Scale.PAPER) if grid.name.endswith("-legacy")]
    assert sum(len(grid.cases) * len(grid.seeds) for grid in legacy) == 3680 + 110


@pytest.mark.parametrize("scale", Scale)
def test_every_configuration_can_be_run(scale: Scale) -> None:
    for grid in MomentumStudy().grids(scale):
        runs = planned(grid.model_copy(update={"seeds": [1]}))
        assert not [run for run in runs if run.refusal], grid.name
        assert len({run.settings.digest for run in runs}) == len(grid.cases)


def test_an_unattacked_run_has_as_many_honest_workers() -> None:
    fashion = data_sets(Scale.SMALL)[0]
    found = list(cases(fashion, LEGACY))
    honest = {case["workers"] - case.get("attackers", 0) for case in found}
    assert honest == {27, 39}
    assert {case["declared"] for case in found if case["rule"] == "mean"} == {0}


def run(rule: str, place: str, best: float, attack: str | None = "little", seed: int = 1) -> dict[str, object]:
    attackers = 4.0 if attack else float("nan")
    workers = 11 if attack else 7
    given = {"learning_rate": 0.5, "nesterov": False, "rule": rule, "attack": attack, "attackers": attackers}
    return {**given, "workers": workers, "momentum_at": place, "seed": seed, "best": best}


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        run("mean", "update", 0.90, attack=None),
        run("krum", "update", 0.45),
        run("krum", "worker", 0.80),
        run("median", "update", 0.88),
        run("median", "worker", 0.85),
        run("phocas", "update", 0.10),
        run("phocas", "worker", 0.11),
        run("meamed", "update", 0.50),
    ]
    return pairs(pd.DataFrame(rows))


def test_pairs_stand_beside_their_unattacked_run(table: pd.DataFrame) -> None:
    found = table.set_index("rule")
    assert set(found.index) == {"krum", "median", "phocas"}, "a run without its partner is no pair"
    assert found.loc["krum", ["cost", "gain", "gap"]].tolist() == pytest.approx([45, 35, 10])
    assert found.loc["median", ["cost", "gain", "gap"]].tolist() == pytest.approx([2, -3, 5])


def test_pairs_that_only_guess_are_left_out(table: pd.DataFrame) -> None:
    assert set(learned(table, 10.0)["rule"]) == {"krum", "median"}


def test_the_published_tables_count_pairs(table: pd.DataFrame) -> None:
    recovery = recovery_table([("all", table)]).set_index("attack costs")
    assert recovery["so many"].to_dict() == {"> 10": 2, "> 20": 2, "> 40": 2}
    assert recovery.loc["> 10", ["regain > 10", "regain > 20", "regain > 40"]].tolist() == [1, 1, 0]
    losses = loss_table([("all", table)]).iloc[0]
    assert losses[["worse by > 0", "worse by > 2", "worse by > 5"]].tolist() == [1, 1, 0]
    assert losses["gap > 5"] == 2


@pytest.mark.slow
def test_the_smoke_reproduction_writes_its_report(tmp_path: Path) -> None:
    from btard.lab.reproductions.command import reproduce
    from btard.lab.reproductions.settings import ReproduceSettings
    from btard.vocabulary import ExitCode

    settings = ReproduceSettings(output=tmp_path, estimate=False)
    assert reproduce(MomentumStudy(), settings) is ExitCode.FINISHED
    report = (tmp_path / "momentum-smoke" / "report.html").read_text()
    assert "736 configurations and 3680 runs" in report and report.count("<svg") >= 9
    assert "shown" in report and "digits" in report
