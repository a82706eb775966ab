"""The draws of stochastic rounding: fixed, uniform, and independent of how they are cut."""

from __future__ import annotations

import pytest
import torch

from btard.pipeline.codecs.rounding import counters, draw_into, rounding_seed

CPU = torch.device("cpu")


def draws(seed: int, count: int, first: int = 0, device: torch.device = CPU) -> torch.Tensor:
    out, scratch = torch.empty(2, count, dtype=torch.int32, device=device)
    return draw_into(out, scratch, counters(count, device), seed, first)


def by_hand(seed: int, place: int) -> int:
    """Hash one place with Python's integers, which do not wrap around."""
    word = 0xFFFFFFFF
    value = (place * 0x9E3779B9 + seed) & word
    value ^= value >> 16
    value = (value * 0x7FEB352D & word) ^ (seed >> 32)
    value ^= value >> 15
    return (value * 0x846CA68B & word) >> 16


@pytest.mark.parametrize("seed", [0, 1, 0xDEADBEEF12345678, (1 << 64) - 1])
def test_draws_are_what_whole_numbers_give(seed: int) -> None:
    assert draws(seed, 500).tolist() == [by_hand(seed, place) for place in range(500)]


def test_draws_do_not_depend_on_where_a_chunk_begins() -> None:
    assert torch.equal(draws(9, 100)[37:], draws(9, 63, first=37))


def test_draws_are_uniform_and_seeds_differ() -> None:
    one, other = draws(5, 1 << 18), draws(6, 1 << 18)
    for drawn in (one, other):
        counts = torch.bincount(drawn >> 10, minlength=64).double()
        # 63 degrees of freedom: 150 is far beyond one in a million.
        assert float(((counts - 4096) ** 2 / 4096).sum()) < 150
    both = torch.stack([one, other, one.roll(1)]).double()
    assert float((torch.corrcoef(both) - torch.eye(3)).abs().max()) < 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same() -> None:
    device = torch.device("cuda")
    assert torch.equal(draws(77, 10_000, 5, device).cpu(), draws(77, 10_000, 5))


def test_every_part_of_a_seed_counts() -> None:
    first = rounding_seed(b"run", 1, "0-1", 2)
    others = [
        rounding_seed(b"ruin", 1, "0-1", 2),
        rounding_seed(b"run", 2, "0-1", 2),
        rounding_seed(b"run", 1, "1-2", 2),
        rounding_seed(b"run", 1, "0-1", 3),
    ]
    assert len({first, *others}) == 5 and all(0 <= seed < 1 << 64 for seed in (first, *others))
