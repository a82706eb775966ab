"""A forecast of runs in stages: what a start and a step take, of each class of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged import forecast as room
from btard.lab.reproductions.staged.ac_sgd import AcSgd
from btard.lab.reproductions.staged.attack import PipelineAttack
from btard.lab.reproductions.staged.attack_run import AttackRun
from btard.lab.reproductions.staged.codec_run import CodecRun
from btard.lab.reproductions.staged.delay_run import DelayRun
from btard.lab.reproductions.staged.forecast import forecast
from btard.lab.reproductions.staged.run import StagedRun


class Ticking(StagedRun):
    """Takes 2 s and as many for each step as `step` says, on a clock that nothing else moves."""

    now: ClassVar[float] = 0.0
    steps: int
    step: float

    @property
    def name(self) -> str:
        return f"ticking-{self.seed}"

    @property
    def length(self) -> int:
        return self.steps

    def shortened(self, steps: int) -> Self:
        return self.model_copy(update={"steps": steps})

    def carry_out(self, home: Path) -> dict[str, Any]:
        Ticking.now += 2 + self.step * self.steps
        return {}


class Slow(Ticking):
    """Another class of runs."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.time, "perf_counter", lambda: Ticking.now)


def test_starts_and_steps_add_up_over_all_runs() -> None:
    runs = [Ticking(seed=seed, steps=100, step=0.5) for seed in range(3)]
    found = forecast(runs, most_seconds=1000)
    assert found.seconds == pytest.approx(3 * (2 + 50)) and (found.probed, found.kinds) == (1, 1)


def test_each_class_of_runs_is_tried_in_any_case() -> None:
    runs = [*(Ticking(seed=1, steps=steps, step=0.5) for steps in range(10, 40)), Slow(seed=1, steps=10, step=100)]
    found = forecast(runs, most_seconds=0)
    assert (found.probed, found.kinds) == (2, 31)
    assert found.seconds == pytest.approx(sum(2 + 0.5 * steps for steps in range(10, 40)) + 2 + 1000)


def test_of_many_kinds_some_are_tried() -> None:
    found = forecast([Ticking(seed=1, steps=10, step=step) for step in range(40)], most_seconds=10**6)
    assert (found.probed, found.kinds) == (8, 40)


@pytest.mark.parametrize("study", [PipelineAttack(), AcSgd()], ids=lambda study: study.name)
def test_shortened_runs_of_a_study_are_short_and_of_its_kind(study: Any) -> None:
    for run in study.runs(Scale.SMALL, "builtin"):
        short = run.shortened(2)
        assert type(short) is type(run) and short.length < run.length and short.length <= 3
        match short:
            case AttackRun():
                assert short.origin is None and short.trained_steps == 2
            case CodecRun():
                assert short.origin.steps == 1 and short.codecs == run.codecs
            case DelayRun():
                assert (short.lie, short.share) == (run.lie, run.share)


@pytest.mark.parametrize("study", [PipelineAttack(), AcSgd()], ids=lambda study: study.name)
def test_a_shortened_run_of_each_class_can_be_carried_out(study: Any, tmp_path: Path) -> None:
    for run in {type(run): run for run in study.runs(Scale.SMOKE, "builtin")}.values():
        assert run.shortened(1).carry_out(tmp_path)
