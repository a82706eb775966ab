"""Workers' vectors in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from btard.errors import UserError
from btard.lab.training.row_memory import zero_rows
from tests.lab.training.helpers import experiment, run, settings


def test_rows_in_a_file_train_to_the_same_bits(tmp_path: Path) -> None:
    chosen = {"momentum_at": "worker", "attackers": 2, "attack": "noisy", "rule": "krum"}
    found = run(rows_in=tmp_path, **chosen).parameters
    assert torch.equal(found, run(**chosen).parameters)


def test_rows_in_a_file_are_not_in_the_memory_of_the_process(tmp_path: Path) -> None:
    rows = zero_rows(64, torch.zeros(1 << 16), tmp_path)
    rows += 1
    place = f"{rows.data_ptr():x}-"
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
