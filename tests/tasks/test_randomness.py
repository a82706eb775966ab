import numpy as np
import pytest
import torch

from btard.tasks.randomness import SeededDraws, seeded_torch


def test_draws_are_the_documented_stream_for_ever() -> None:
    # Written down from the first release: a change here makes new peers ban old ones.
    assert SeededDraws(bytes(range(32))).integers("samples", 5, 1_000).tolist() == [769, 92, 730, 309, 23]


def test_labels_and_seeds_separate_streams() -> None:
    draws = SeededDraws(bytes(32))
    assert draws.bits("a", 4).tolist() == draws.bits("a", 4).tolist()
    assert draws.bits("a", 4).tolist() != draws.bits("b", 4).tolist()
    assert draws.bits("a", 4).tolist() != SeededDraws(b"\1" + bytes(31)).bits("a", 4).tolist()


def test_numbers_are_uniform_and_in_range() -> None:
    draws = SeededDraws(bytes(32))
    counts = np.bincount(draws.integers("i", 60_000, 6), minlength=6)
    assert counts.sum() == 60_000
    assert np.abs(counts - 10_000).max() < 500
    uniform = draws.uniform("u", 60_000)
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, this one has {length}"):
        SeededDraws(bytes(length))


def test_seeding_torch_repeats_and_restores_the_generator() -> None:
    before = torch.get_rng_state()
    with seeded_torch(5, torch.device("cpu")):
        first = torch.rand(3)
    torch.rand(1)
    with seeded_torch(5, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
    torch.set_rng_state(before)
    with seeded_torch(6, torch.device("cpu")):
        torch.rand(100)
    assert torch.equal(torch.get_rng_state(), before)
