"""Adam and LAMB in place of the published step."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from btard.errors import UserError
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.samplers import make_sampler
from btard.tasks.digits import DigitsTask
from btard.tasks.lamb import build_lamb
from tests.lab.training.helpers import experiment, files_of, run, settings
from tests.quick import quick

OWN = {"momentum": 0, "learning_rate": 0.01}


def trained(s: ExperimentSettings) -> nn.Module:
    """The mean of all workers' gradients, given to the optimizer itself."""
    task = DigitsTask()
    model, sampler = task.build_model(s.seed).eval(), make_sampler(task, s, s.seed)
    made = {"adam": lambda: torch.optim.Adam(model.parameters(), lr=1.0), "lamb": lambda: build_lamb(model, 1.0)}
    optimizer = made[s.optimizer]()
    for step in range(s.steps):
        for group in optimizer.param_groups:
            group["lr"] = s.rate(step)
        drawn = sampler.next(s.workers, step, 0)
        optimizer.zero_grad()
        for worker in range(s.workers):
            loss = nn.functional.cross_entropy(model(drawn["images"][worker]), drawn["labels"][worker])
            (loss / s.workers).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("name", ["adam", "lamb"])
def test_the_engine_moves_as_the_optimizer_does(name: str) -> None:
    found = run(optimizer=name, **OWN).parameters
    expected = nn.utils.parameters_to_vector(trained(settings(optimizer=name, **OWN)).parameters()).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "batched", "topology"),
    quick(3, itertools.product(["adam", "lamb"], ["on", "off"], ["server", "butterfly"])),
)
def test_a_resumed_run_has_the_moments(name: str, batched: str, topology: str, tmp_path: Path) -> None:
    chosen = {**OWN, "optimizer": name, "batched": batched, "topology": topology, "rule": "centered_clip:tau=1"}
    run(output=tmp_path / "whole", **chosen)
    broken = experiment(output=tmp_path / "broken", **chosen)
    broken.run(until=5)
    broken._save()
    run(output=tmp_path / "broken", **chosen)
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")


def test_a_fork_takes_moments_along_and_keeps_the_optimizer() -> None:
    base = experiment(optimizer="adam", **OWN).run(until=5)
    whole = run(optimizer="adam", **OWN).parameters
    assert all(torch.equal(base.fork().run().parameters, whole) for _ in range(2))
    with pytest.raises(UserError, match="cannot change optimizer"):
        base.fork(optimizer="sgd")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "add --momentum 0, or --momentum-at worker"),
        ({"optimizer": "lamb", "momentum": 0, "weight_decay": 0.1}, "leave out --weight-decay"),
        ({"momentum": 0, "topology": "btard", "learning_rate_decay": 0, "study": True}, "no --study"),
    ],
)
def test_what_optimizers_do_not_go_with_is_said(chosen: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**chosen)
