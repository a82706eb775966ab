"""Quantised means whose errors are made up for."""

from __future__ import annotations

import pytest
import torch

from btard.identity import Malformed
from btard.pipeline.caches.feedback import ErrorFeedback, ShardedMean
from btard.pipeline.codecs import NotFinite

SIZE = 1300


def vector(seed: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def means(replicas: list[ShardedMean], gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return what each replica takes for the mean."""
    sent = [replica.shards(gradient) for replica, gradient in zip(replicas, gradients, strict=True)]
    made = [replica.mean([shards[place] for shards in sent]) for place, replica in enumerate(replicas)]
    return [replica.gradient(made) for replica in replicas]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_is_left_out_comes_with_what_follows(bits: int) -> None:
    feedback, total, sent = ErrorFeedback(bits, SIZE), torch.zeros(SIZE), torch.zeros(SIZE)
    for step in range(30):
        total += vector(step)
        sent += feedback.decode(feedback.encode(vector(step)))
        feedback.commit()
    # What is missing of the sum is the last error alone, below a step of the quantiser.
    assert float((total - sent).abs().max()) < 8 / ((1 << bits) - 2)


def test_a_step_that_does_not_count_leaves_no_error() -> None:
    feedback, untouched = ErrorFeedback(2, SIZE), ErrorFeedback(2, SIZE)
    feedback.encode(vector(0))
    feedback.roll_back()
    assert feedback.encode(vector(1)) == untouched.encode(vector(1))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_replicas_get_the_same_mean(count: int) -> None:
    replicas = [ShardedMean(8, SIZE, count, own) for own in range(count)]
    gradients = [vector(place) for place in range(count)]
    found = means(replicas, gradients)
    assert all(torch.equal(mean, found[0]) for mean in found)
    expected = torch.stack(gradients).mean(0)
    assert float((found[0] - expected).norm() / expected.norm()) < 0.03


def test_the_sum_of_means_is_that_of_exact_ones() -> None:
    replicas = [ShardedMean(3, SIZE, 3, own) for own in range(3)]
    exact, found = torch.zeros(SIZE), torch.zeros(SIZE)
    errors = []
    for step in range(20):
        gradients = [vector(3 * step + place) for place in range(3)]
        exact += torch.stack(gradients).mean(0)
        found += means(replicas, gradients)[0]
        for replica in replicas:
            replica.commit()
        errors.append(float((found - exact).norm() / exact.norm()))
    assert errors[-1] < errors[0] / 3


def test_hostile_or_infinite_numbers_are_refused() -> None:
    replica = ShardedMean(4, SIZE, 2, 0)
    with pytest.raises(Malformed):
        replica.mean([b"", b""])
    with pytest.raises(NotFinite):
        replica.shards(torch.full((SIZE,), float("inf")))
    data = bytearray(replica.shards(vector(0))[0])
    data[:2] = b"\xc0\x7f"
    with pytest.raises(Malformed, match="scale"):
        replica.mean([bytes(data)])
