"""Workers' vectors in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from btard.aggregation import rows
from btard.aggregation.rows import file_rows
from btard.errors import UserError
from btard.lab.training.row_memory import zero_rows
from tests.lab.training.helpers import experiment, run, settings


def test_rows_in_a_file_train_to_the_same_bits(tmp_path: Path) -> None:
    chosen = {"momentum_at": "worker", "attackers": 2, "attack": "noisy", "rule": "krum"}
    found = run(rows_in=tmp_path, **chosen).parameters
    assert torch.equal(found, run(**chosen).parameters)


@pytest.mark.parametrize("rule", ["nnm+trimmed_mean", "bucketing+krum", "static_clipping:norm=0.1+mean"])
def test_rows_that_are_made_lie_in_a_file_too(rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def noted(count: int, dimension: int, directory: Path) -> torch.Tensor:
        made.append((count, directory))
        return file_rows(count, dimension, directory)

    monkeypatch.setattr(rows, "file_rows", noted)
    chosen = {"rule": rule, "workers": 9, "attackers": 1, "attack": "opposite", "steps": 3}
    assert torch.equal(run(rows_in=tmp_path, **chosen).parameters, run(**chosen).parameters)
    assert made and {directory for _, directory in made} == {tmp_path} and not list(tmp_path.iterdir())


def test_rows_in_a_file_are_not_in_the_memory_of_the_process(tmp_path: Path) -> None:
    block = zero_rows(64, torch.zeros(1 << 16), tmp_path)
    block += 1
    place = f"{block.data_ptr():x}-"
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.startswith(place)]
    assert len(mapped) == 1 and str(tmp_path) in mapped[0]


def test_nothing_is_left_of_the_file(tmp_path: Path) -> None:
    run(rows_in=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file can be written"):
        experiment(rows_in=tmp_path / "missing")


def test_rows_in_a_file_need_the_processor() -> None:
    with pytest.raises(ValueError, match="only --device cpu"):
        settings(rows_in="/", device="auto")
