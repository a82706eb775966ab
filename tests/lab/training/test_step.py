"""One step of the engine against a textbook loop, and both ways to compute gradients against each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.samplers import make_sampler
from btard.tasks.digits import DigitsTask
from tests.lab.training.helpers import Opposite, experiment, run, settings
from tests.quick import quick

Vector = torch.Tensor


def flat(model: nn.Module) -> Vector:
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


def load(model: nn.Module, vector: Vector) -> None:
    nn.utils.vector_to_parameters(vector.clone(), list(model.parameters()))


def gradient(
    task: DigitsTask, model: nn.Module, at: Vector, tensors: dict[str, Vector], s: ExperimentSettings
) -> Vector:
    """The clipped gradient of the loss with its penalties, by autograd alone."""
    load(model, at)
    weights = list(model.parameters())
    loss = nn.functional.cross_entropy(model(tensors["images"]), tensors["labels"])
    theta = torch.cat([weight.reshape(-1) for weight in weights])
    loss = loss + s.l1 * theta.abs().sum() + s.l2 * theta.norm()
    found = torch.cat([piece.reshape(-1) for piece in torch.autograd.grad(loss, weights)])
    if s.gradient_clip is not None and found.norm() > s.gradient_clip:
        found = found * (s.gradient_clip / found.norm())
    return found


def textbook(s: ExperimentSettings) -> Vector:
    """The published step, written down plainly: the mean of all vectors, attackers by `Opposite`."""
    task = DigitsTask()
    model = task.build_model(s.seed).eval()
    sampler = make_sampler(task, s, s.seed)
    theta, h = flat(model), s.workers - s.attackers
    own = [torch.zeros_like(theta) for _ in range(h)]
    common, attack = torch.zeros_like(theta), Opposite()
    mu, kept = s.momentum, 1 - s.dampening
    for step in range(s.steps):
        alpha = s.learning_rate / (
            (step // s.learning_rate_decay_delta * s.learning_rate_decay_delta) / s.learning_rate_decay + 1
        )
        drawn = sampler.next(h, step, 0)
        sent = []
        for i in range(h):
            ahead = own[i] if s.momentum_at == "worker" else common
            at = theta - alpha * mu * ahead if s.nesterov else theta
            g = gradient(task, model, at, {name: tensor[i] for name, tensor in drawn.items()}, s)
            if s.momentum_at == "worker":
                own[i] = mu * own[i] + kept * g
                sent.append(own[i])
            elif s.momentum_at == "server":
                sent.append(kept * g + mu * common)
            else:
                sent.append(g)
        attack.times += 1
        lie = -attack.factor * attack.times**0.5 * torch.stack(sent).mean(0)
        combined = torch.stack(sent + [lie] * s.attackers).mean(0)
        if s.momentum_at == "update":
            common = mu * common + kept * combined
            direction = common
        else:
            common = combined
            direction = combined
        theta = theta - alpha * (direction + s.weight_decay * theta)
    return theta


PLAIN: dict[str, Any] = {"attackers": 2, "attack": "opposite", "steps": 6}
FULL = {**PLAIN, "dampening": 0.2, "gradient_clip": 1.5, "l1": 1e-4, "l2": 1e-2, "weight_decay": 1e-3}
DECAYING = {"learning_rate_decay": 3, "learning_rate_decay_delta": 2}


@pytest.mark.parametrize(
    "more, momentum_at, nesterov, batched",
    quick(
        7,
        [
            (more, momentum_at, nesterov, batched)
            for more in (PLAIN, {**FULL, **DECAYING})
            for momentum_at in ("update", "server", "worker")
            for nesterov in (False, True)
            for batched in ("off", "on")
        ],
    ),
)
def test_steps_are_those_of_a_textbook(more: dict[str, Any], momentum_at: str, nesterov: bool, batched: str) -> None:
    chosen = {**more, "momentum_at": momentum_at, "nesterov": nesterov, "batched": batched, "study": False}
    found = run(**chosen).parameters
    expected = textbook(settings(**chosen))
    assert float((found - expected).abs().max()) <= 1e-6 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("nesterov", [False, True])
def test_both_ways_give_the_same_gradients(nesterov: bool) -> None:
    rows = []
    for batched in ("off", "on"):
        made = experiment(batched=batched, momentum_at="worker", nesterov=nesterov, steps=1).run()
        rows.append(made.training.state()["rows"])
    assert float((rows[0] - rows[1]).abs().max()) <= 1e-5 and float(rows[0].abs().max()) > 1e-2


def test_auto_chooses_a_way_and_keeps_it() -> None:
    made = experiment(batched="auto").run()
    assert made.training.batched in (True, False)


def test_auto_is_one_by_one_where_dropout_draws() -> None:
    assert experiment(batched="auto", legacy_eval=False).training.batched is False


@pytest.mark.parametrize("batched", ["off", "on"])
def test_each_worker_has_its_own_dropout(batched: str) -> None:
    made = experiment(batched=batched, legacy_eval=False, heterogeneity="iid", steps=1)
    drawn = made.training._sampler.next(1, 0, 0)
    same = {name: tensor.expand(7, *tensor.shape[1:]).clone() for name, tensor in drawn.items()}
    made.training._sampler.next = lambda *_: same  # type: ignore[method-assign]
    made.run()
    rows = made.training.state()["rows"]
    assert all(not torch.equal(rows[0], row) for row in rows[1:])


def test_local_steps_average_as_models_would() -> None:
    made = experiment(local_steps=3, momentum=0.0, learning_rate_decay=0, steps=1, study=False)
    task, s = DigitsTask(), made.settings
    model = task.build_model(s.seed).eval()
    start, sampler = flat(model), make_sampler(task, s, s.seed)
    batches = [sampler.next(s.workers, 0, part) for part in range(3)]
    ends = []
    for worker in range(s.workers):
        theta = start.clone()
        for drawn in batches:
            theta -= 0.1 * gradient(task, model, theta, {name: tensor[worker] for name, tensor in drawn.items()}, s)
        ends.append(theta)
    made.run()
    assert torch.allclose(made.parameters, torch.stack(ends).mean(0), atol=1e-6)


def test_attackers_see_vectors_after_momentum() -> None:
    made = experiment(attackers=2, attack="opposite", momentum_at="worker", steps=2)
    made.run()
    seen = made.training.crew._gangs[0].attack.seen  # type: ignore[union-attr]
    assert (seen[0].workers, seen[0].attackers, seen[0].declared, len(seen[0].known)) == (7, 2, 2, 5)
    assert torch.equal(seen[1].known, made.training.state()["rows"][:5])


def test_what_attackers_try_is_what_the_rule_does() -> None:
    made = experiment(attackers=2, attack="opposite", steps=1, momentum=0.0, learning_rate_decay=0)
    before = made.parameters.clone()
    made.run()
    knowledge = made.training.crew._gangs[0].attack.seen[0]  # type: ignore[union-attr]
    lie = -2.0 * knowledge.known.mean(0)
    moved = before - 0.1 * knowledge.aggregate(lie)
    assert torch.allclose(made.parameters, moved, atol=1e-6)


def test_colluders_know_their_own_vectors_alone() -> None:
    made = experiment(attackers=2, attack="opposite", knowledge="colluders", steps=1)
    made.run()
    seen = made.training.crew._gangs[0].attack.seen  # type: ignore[union-attr]
    assert torch.equal(seen[0].known, made.training.state()["rows"][5:])


def test_rows_that_are_no_numbers_are_left_out() -> None:
    made = run(attackers=2, attack="poison", rule="coordinate_median")
    assert list(made.steps.left_out) == [2] * 12
    assert bool(torch.isfinite(made.parameters).all())
