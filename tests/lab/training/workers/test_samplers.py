"""Batches are shuffled without repetition, shares go by labels, and statistics are nobody's state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from btard.errors import UserError
from btard.lab.training.workers.normalisation import statistics_from, without_running_statistics
from btard.lab.training.workers.problem import counter
from btard.lab.training.workers.samplers import FromSeeds, Shuffled, make_sampler
from btard.lab.training.workers.spread import deal
from btard.tasks.digits import DigitsTask
from tests.lab.training.helpers import experiment, settings

LABELS = np.repeat(np.arange(10), 50)


def draws() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_shuffled_stream_repeats_nothing_before_all_were_taken() -> None:
    stream = Shuffled(10, seed=1, key=0)
    taken = torch.cat([stream.take(count) for count in (3, 4, 9, 14)])
    for epoch in taken.split(10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert not torch.equal(taken[:10], taken[10:20])


def test_a_shuffled_stream_goes_on_from_its_position() -> None:
    one, other = Shuffled(7, 1, 0), Shuffled(7, 1, 0, position=11)
    one.take(11)
    assert torch.equal(one.take(9), other.take(9))


@pytest.mark.parametrize("spread", ["dirichlet:alpha=0.1", "gamma:similarity=0.3", "sorted"])
def test_shares_are_all_samples_each_once(spread: str) -> None:
    shares = deal(spread, LABELS, 7, draws())
    assert shares is not None and all(len(share) for share in shares)
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(LABELS)))


def classes(spread: str) -> float:
    """How many labels a worker sees on average."""
    shares = deal(spread, LABELS, 5, draws())
    assert shares is not None
    return float(np.mean([len(np.unique(LABELS[share])) for share in shares]))


def test_shares_are_as_skewed_as_they_are_told() -> None:
    assert deal("iid", LABELS, 5, draws()) is None
    assert classes("sorted") == 2.0 and classes("gamma:similarity=1") == 10.0
    assert classes("dirichlet:alpha=0.05") < 6 < classes("dirichlet:alpha=100")


def test_workers_draw_from_their_own_shares() -> None:
    chosen = settings(heterogeneity="sorted", workers=5, batch_size=16)
    labels = make_sampler(DigitsTask(), chosen, 0).next(5, 0, 0)["labels"]
    assert all(len(set(row.tolist())) <= 3 for row in labels) and len(set(labels.flatten().tolist())) == 10


def test_tasks_without_samples_in_memory_draw_by_seed() -> None:
    task = DigitsTask()
    task.training_samples = lambda: None  # type: ignore
    sampler = make_sampler(task, settings(), 0)
    assert isinstance(sampler, FromSeeds)
    first, again, later = (sampler.next(3, step, 0)["images"] for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later) and not torch.equal(first[0], first[1])
    with pytest.raises(UserError, match="does not show"):
        make_sampler(task, settings(heterogeneity="sorted"), 0)


def test_statistics_are_the_mean_of_the_batches_given() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    without_running_statistics(model)
    data = [torch.randn(16, 3) * 2 + 5 for _ in range(4)]
    with statistics_from(model, data):
        norm = model[0]
        assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None and norm.running_var is not None
        assert torch.allclose(norm.running_mean, torch.stack([batch.mean(0) for batch in data]).mean(0), atol=1e-5)
        assert torch.allclose(norm.running_var, torch.stack([batch.var(0) for batch in data]).mean(0), atol=1e-5)
        assert not model.training
    assert model.training and model[0].running_mean is None  # type: ignore[union-attr]


def test_criteria_count_right_answers() -> None:
    outputs, right = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.4], [0.1, 0.2, 0.9]]), torch.tensor([1, 2, 0])
    assert [int(counter(text)(outputs, right)) for text in ("top-k", "top-k:k=2", "top-k:k=3")] == [1, 2, 3]
    near = torch.tensor([[0.4], [0.6], [0.9]])
    assert int(counter("sigmoid")(near, torch.tensor([0, 0, 1]))) == 2
    with pytest.raises(UserError, match="top-k, top-k:k=5 or sigmoid"):
        counter("top")


def test_losses_and_initialisers_go_by_their_names() -> None:
    own, named = experiment(), experiment(loss="crossentropy")
    assert own.run().steps.loss.tolist() == pytest.approx(named.run().steps.loss.tolist(), rel=1e-6)
    made = experiment(initialiser="constant:val=0.5", initialiser_of_vectors="zeros").training.problem
    for place in made.places:
        expected = 0.0 if len(place.shape) == 1 else 0.5
        assert bool((made.parameters[place.columns] == expected).all())
    for wrong in (
        {"loss": "nothing"},
        {"initialiser": "nothing"},
        {"initialiser": "zeros", "initialiser_of_vectors": "eye"},
    ):
        with pytest.raises(UserError):
            experiment(**wrong)
