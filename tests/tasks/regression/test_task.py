"""Regression as a task: built-in rows, files in libsvm's form, and right answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from btard.errors import UserError
from btard.tasks.base import Batch, Task
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.registry import load_task
from btard.tasks.regression.libsvm import read_libsvm
from btard.tasks.regression.sets import RegressionData, load_rows
from tests.tasks.helpers import seed_of, trained


def task_of(settings: str = "", data: DataSpec | None = None) -> Task:
    return load_task(f"regression:{settings}" if settings else "regression", "tiny", data)


def test_logistic_regression_learns() -> None:
    task = task_of()
    assert (task.evaluated(trained(task, 400, batch_size=16).model).accuracy or 0) > 0.9


def test_linear_regression_learns_and_has_no_right_answers() -> None:
    task = task_of("data=diabetes,model=simples_linear,loss=mse")
    before, after = (task.evaluated(trained(task, steps, batch_size=16).model) for steps in (0, 400))
    assert after.loss < before.loss and after.loss < 0.05
    assert after.accuracy is None and after.total == 0


def test_binary_cross_entropy_needs_a_sigmoid() -> None:
    with pytest.raises(UserError, match="take the model simples_logit, or another loss"):
        task_of("model=simples_linear")


def test_an_answer_is_right_below_a_half_off() -> None:
    batch = Batch({"inputs": torch.tensor([[0.4], [0.6], [0.5]]), "targets": torch.tensor([0.0, 0.0, 1.0])}, 3)
    assert task_of().correct(nn.Identity(), batch) == (1, 3)


def test_targets_are_flipped_within_their_range() -> None:
    task = task_of()
    batch = task.batch(seed_of(1), 9)
    assert torch.equal(task.label_flipped(batch).tensors["targets"], 1 - batch.tensors["targets"])


def phishing(path: Path, rows: int = 8_410, low: int = 0) -> Path:
    path.write_text("\n".join(f"{1 if i % 3 else low} {i % 68 + 1}:1 68:0.5" for i in range(rows)))
    return path


@pytest.mark.parametrize("low", [0, -1])
def test_phishing_trains_on_the_first_rows(tmp_path: Path, low: int) -> None:
    rows = load_rows(RegressionData.PHISHING, DataSpec.parse(str(phishing(tmp_path / "phishing", low=low))))
    assert rows.inputs.shape == (8_410, 68)
    assert rows.held_out.nonzero()[0].tolist() == list(range(8_400, 8_410))
    assert rows.targets[:4].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert rows.inputs[3].nonzero()[0].tolist() == [3, 67]


def test_too_few_rows_are_no_phishing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 20 rows"):
        load_rows(RegressionData.PHISHING, DataSpec.parse(str(phishing(tmp_path / "p", rows=20))))


@pytest.mark.parametrize(
    "line", ["1 0:1", "1 4:1", "x 1:1", "1 1", "1 1:x", "nan 1:1", "1 1:inf", "1 a:1", "1 1:1e39", "1 :"]
)
def test_lines_of_another_form_are_told_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "file"
    path.write_text(f"1 1:0.5 3:2\n\n{line}\n")
    with pytest.raises(UserError, match=r"line 3 of .* indices from 1 to 3"):
        read_libsvm(path, 3)


def test_an_empty_file_holds_no_rows(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("\n")
    with pytest.raises(UserError, match="holds no rows"):
        read_libsvm(tmp_path / "file", 3)


def test_data_from_elsewhere_are_refused(tmp_path: Path) -> None:
    for name, spec in (
        (RegressionData.DIABETES, DataSpec(kind=SourceKind.TEXT, location=str(tmp_path))),
        (RegressionData.PHISHING, DataSpec(kind=SourceKind.HUB, location="owner/phishing")),
    ):
        with pytest.raises(UserError, match="only phishing is read from a file"):
            load_rows(name, spec)
    with pytest.raises(UserError, match="by --data"):
        load_rows(RegressionData.PHISHING, DataSpec())
