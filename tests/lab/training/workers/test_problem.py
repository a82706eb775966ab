from __future__ import annotations

from pathlib import Path

import pytest

from btard.errors import UserError
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.problem import Problem
from tests.tasks.images.files import write_idx_set

TASK = "images:data=mnist,model=logistic"


def test_a_task_reads_its_data_from_a_path(tmp_path: Path) -> None:
    write_idx_set(tmp_path, train=60, test=20)
    problem = Problem(ExperimentSettings(task=TASK, data=str(tmp_path)), 0)
    assert problem.task.evaluation_batch().samples == 20 and len(problem.parameters) == 7850


def test_data_that_no_package_brings_are_asked_for() -> None:
    with pytest.raises(UserError, match="--data"):
        Problem(ExperimentSettings(task=TASK), 0)
