"""A model with batch normalisation: workers share no statistics, and evaluations take them from public batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from btard.lab.training import Experiment
from btard.lab.training.workers.evaluation import evaluate
from btard.tasks.digits import DigitsTask
from tests.lab.training.helpers import settings


class Normed(DigitsTask):
    """A small net with batch normalisation."""

    def _construct_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10), nn.BatchNorm1d(10)
        )


def made(**chosen: object) -> Experiment:
    return Experiment(settings(**{"legacy_eval": False, **chosen}), task=Normed())


def test_both_ways_normalise_by_each_workers_batch() -> None:
    rows = [made(batched=way, momentum_at="worker", steps=1).run().training.state()["rows"] for way in ("off", "on")]
    assert float((rows[0] - rows[1]).abs().max()) <= 1e-5 and float(rows[0].abs().max()) > 1e-2


def test_training_leaves_no_statistics_behind() -> None:
    experiment = made(steps=2).run()
    assert not list(experiment.training.problem.model.buffers())


def test_evaluations_normalise_by_public_batches_and_repeat() -> None:
    experiment = made(steps=30, batch_size=32, learning_rate=0.3).run()
    found = [evaluate(experiment.training.problem, experiment.settings, 0) for _ in range(2)]
    assert found[0] == found[1] and found[0][0] > 0.6
    assert experiment.training.problem.model.training
    other = evaluate(experiment.training.problem, experiment.settings, 1)
    assert other[1] != found[0][1] and other[1] == pytest.approx(found[0][1], rel=0.2)


def test_legacy_evaluation_keeps_means_0_and_variances_1() -> None:
    experiment = made(legacy_eval=True, steps=3).run()
    model = experiment.training.problem.model
    assert not model.training
    for norm in (model[1], model[5]):  # type: ignore[index]
        assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
        assert torch.equal(norm.running_var, torch.ones_like(norm.running_var))
