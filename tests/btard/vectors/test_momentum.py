"""Worker momentum: the fixed arithmetic of a submission, and the chain with its gaps, repetitions and limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from btard.hashing import digest
from btard.identity import Malformed
from btard.vectors.momentum import Momentum, base_from_bytes, submission

D = 1000


def vector(number: int) -> torch.Tensor:
    return torch.randn(D, generator=torch.Generator().manual_seed(number))


def data(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()


def test_the_arithmetic_is_two_products_and_a_sum_in_float32() -> None:
    base, gradient = vector(1), vector(2)
    expected = np.float32(0.9) * base.numpy() + np.float32(1.0 - 0.9) * gradient.numpy()
    assert data(submission(gradient, base, 0.9)) == expected.astype(np.float32).tobytes()


def test_no_base_is_a_base_of_zeros_to_the_last_bit() -> None:
    gradient = vector(2)
    gradient[:10] = -0.0
    assert data(submission(gradient, None, 0.5)) == data(submission(gradient, torch.zeros(D), 0.5))


def test_arguments_stay_as_they_are() -> None:
    base, gradient = vector(1), vector(2)
    submission(gradient, base, 0.9)
    assert torch.equal(base, vector(1)) and torch.equal(gradient, vector(2))


def test_without_momentum_the_gradient_is_sent_itself() -> None:
    gradient = vector(1)
    assert submission(gradient, None, 0.0) is gradient
    assert submission(gradient, torch.zeros(3), 0.0) is gradient


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_none_makes_all_zero(momentum: float, bad: float) -> None:
    for position in (0, 7, 512, D - 1):
        gradient = vector(1)
        gradient[position] = bad
        assert data(submission(gradient, vector(2), momentum)) == bytes(4 * D)


@pytest.mark.parametrize("base", [torch.zeros(D + 1), torch.zeros(D, dtype=torch.float64), torch.zeros(1, D)])
def test_a_base_of_another_kind_is_refused(base: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"a base is float32 of shape \(1000,\)"):
        submission(vector(1), base, 0.9)


def test_a_chain_of_equal_gradients_tends_to_the_gradient() -> None:
    chain = Momentum(0.5, D)
    for step in range(30):
        base = chain.base(step)
        sent = submission(vector(1), base, 0.5)
        chain.submitted(step, base, sent)
    torch.testing.assert_close(sent, vector(1))


def test_a_chain_with_a_gap_and_a_repetition() -> None:
    chain = Momentum(0.9, D)
    start = chain.base(3)
    assert start is not None and data(start) == bytes(4 * D)
    assert chain.digest == b"" and chain.base_bytes(3) is None
    chain.submitted(3, start, vector(1))
    assert chain.digest == digest(bytes(4 * D))
    for attempt in (2, 3):
        base = chain.base(6)
        assert base is not None and torch.equal(base, vector(1)), "steps that are left out change nothing"
        chain.submitted(6, base, vector(attempt))
        assert chain.digest == digest(data(vector(1)))
    last = chain.base(7)
    assert last is not None and torch.equal(last, vector(3)), "the last word of a step counts"
    assert chain.base_bytes(3) == bytes(4 * D) and chain.base_bytes(6) == data(vector(1))
    assert chain.base_bytes(4) is None
    chain.submitted(7, last, vector(4))
    chain.submitted(8, chain.base(8), vector(5))
    assert [chain.base_bytes(step) for step in (3, 6, 7)] == [None, data(vector(1)), data(vector(3))]


def test_the_first_step_may_be_repeated_too() -> None:
    chain = Momentum(0.9, D)
    for attempt in (1, 2):
        base = chain.base(0)
        assert base is not None and torch.count_nonzero(base) == 0
        chain.submitted(0, base, vector(attempt))


def test_a_reset_begins_anew() -> None:
    chain = Momentum(0.9, D)
    chain.submitted(0, chain.base(0), vector(1))
    chain.reset()
    base = chain.base(1)
    assert base is not None and torch.count_nonzero(base) == 0
    assert (chain.digest, chain.base_bytes(0)) == (b"", None)


def test_what_nobody_was_sent_is_taken_back() -> None:
    chain = Momentum(0.9, D)
    for step in (0, 1):
        chain.submitted(step, chain.base(step), vector(step))
    chain.withdraw(1)
    assert chain.vector_bytes(1) is chain.base_bytes(1) is None
    base = chain.base(2)
    assert base is not None and torch.equal(base, vector(0))
    chain.withdraw(0)
    chain.withdraw(7)
    base = chain.base(2)
    assert base is not None and not base.any()


def test_without_momentum_no_base_is_kept() -> None:
    chain = Momentum(0.0, D)
    chain.submitted(0, chain.base(0), vector(1))
    assert (chain.base(1), chain.digest, chain.base_bytes(0)) == (None, b"", None)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_vectors_of_the_last_three_steps_are_kept(momentum: float) -> None:
    chain = Momentum(momentum, D)
    for step in (2, 3, 4, 4, 7):
        chain.submitted(step, chain.base(step), vector(step))
    kept = [chain.vector_bytes(step) for step in (2, 3, 4, 5, 7)]
    assert kept == [None, data(vector(3)), data(vector(4)), None, data(vector(7))]
    chain.reset()
    assert chain.vector_bytes(7) is None


def test_a_base_goes_round_as_bytes() -> None:
    served = data(vector(1))
    assert torch.equal(base_from_bytes(served, D), vector(1))
    assert torch.equal(base_from_bytes(memoryview(served), D), vector(1))


@pytest.mark.parametrize(
    ("served", "says"),
    [
        (b"", "has 4000 bytes, this one has 0"),
        (bytes(4 * D + 4), "has 4000 bytes"),
        (bytes(4 * D - 4) + np.float32("nan").tobytes(), "not finite"),
        (bytes(4 * D - 4) + np.float32("inf").tobytes(), "not finite"),
    ],
)
def test_bytes_that_are_no_base(served: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        base_from_bytes(served, D)
