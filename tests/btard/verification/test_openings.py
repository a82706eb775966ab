"""Openings: numbers of the true vector pass on every machine, and made-up ones do not."""

from __future__ import annotations

import math

import pytest
import torch

from btard.hashing import digest
from btard.round.rules import VerificationRules
from btard.verification.openings import BLOCKS, direction_of, measured, numbers_excess
from btard.verification.thresholds import Thresholds, opening
from btard.vocabulary import Validation
from tests.btard.round.swarm import keys

VALIDATOR = keys(1)[0].peer_id
DIRECTION = direction_of(digest(b"r"), VALIDATOR)
EXACT = VerificationRules(validation=Validation.EXACT).opening
TOLERANT = VerificationRules(accuse=0.05, convict=0.025).opening


def vector(seed: int, dimension: int = 1000) -> torch.Tensor:
    return torch.randn(dimension, generator=torch.Generator().manual_seed(seed))


def numbers(of: torch.Tensor, direction: bytes = DIRECTION) -> list[float]:
    return [measure.projection for measure in measured(direction, of)]


def off(claimed: torch.Tensor, true: torch.Tensor, *, exact: bool = False) -> float:
    return numbers_excess(numbers(claimed), measured(DIRECTION, true), exact=exact)


@pytest.mark.parametrize("dimension", [1, 5, 8, 1000, 100_000])
def test_the_same_vector_is_at_no_distance(dimension: int) -> None:
    true = vector(1, dimension)
    assert off(true, true) == off(true, true, exact=True) == 0.0
    assert len(numbers(true)) == BLOCKS


def test_directions_differ_by_randomness_and_validator() -> None:
    true, other = vector(1), next(key.peer_id for key in keys(2) if key.peer_id != VALIDATOR)
    seeds = {DIRECTION, direction_of(digest(b"s"), VALIDATOR), direction_of(digest(b"r"), other)}
    assert len({tuple(numbers(true, seed)) for seed in seeds}) == 3


def test_an_error_shows_in_its_length() -> None:
    true = vector(1, 4000)
    error = 0.3 * true.norm() * vector(2, 4000) / vector(2, 4000).norm()
    assert 0.1 < off(true + error, true) < 0.6


def test_made_up_numbers_are_off_far_beyond_what_accuses() -> None:
    true = vector(1)
    for seed in range(50):
        guess = torch.randn(BLOCKS, generator=torch.Generator().manual_seed(seed)).mul(11.0).tolist()
        for limits, exact in ((TOLERANT, False), (EXACT, True)):
            assert limits.accuses(numbers_excess(guess, measured(DIRECTION, true), exact=exact))
        assert TOLERANT.accuses(numbers_excess([0.0] * BLOCKS, measured(DIRECTION, true), exact=False))


def test_machines_that_differ_within_the_band_convict_nobody() -> None:
    """Whatever block the difference is in: it may be as long as a validator lets its target be off by."""
    true = vector(1)
    for seed in range(200):
        error = vector(100 + seed)
        if seed % 2:
            error[125:] = 0.0
        theirs = true + 0.02 * true.norm() * error / error.norm()
        found = off(theirs, true)
        assert not TOLERANT.accuses(found)
        assert not TOLERANT.convicts(found) or seed % 2, seed


def test_honest_differences_are_acquitted() -> None:
    true = vector(1)
    for seed in range(200):
        error = vector(100 + seed)
        if seed % 2:
            error[125:] = 0.0
        assert TOLERANT.acquits(off(true + 0.005 * true.norm() * error / error.norm(), true))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_accused(number: float, exact: bool) -> None:
    given = [number, *numbers(vector(1))[1:]]
    found = numbers_excess(given, measured(DIRECTION, vector(1)), exact=exact)
    limits = EXACT if exact else TOLERANT
    assert limits.accuses(found) and limits.convicts(found) and not limits.acquits(found)


def test_zeros_have_no_length_to_compare_with() -> None:
    zeros = torch.zeros(40)
    assert off(zeros, zeros) == off(zeros, zeros, exact=True) == 0.0
    assert off(vector(1, 40), zeros) == math.inf


def test_where_machines_are_alike_the_last_digits_count() -> None:
    true = vector(1)
    assert EXACT.accuses(off(true * (1 + 1e-3), true, exact=True))
    assert not TOLERANT.accuses(off(true * (1 + 1e-3), true))


def test_the_limits_are_twice_those_of_a_gradient() -> None:
    limits = VerificationRules(accuse=0.05, convict=0.025)
    assert limits.opening == opening(accuse=0.05) == Thresholds(0.025, 0.05, 0.1)
    assert limits.opening.convict >= limits.gradient.accuse
