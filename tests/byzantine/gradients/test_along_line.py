"""Attacks along a line, beside the formulas of their papers written out coordinate by coordinate."""

from __future__ import annotations

import statistics

import pytest
import torch

from btard.byzantine.gradients.attack import GradientAttack
from btard.byzantine.gradients.registry import make_attack
from btard.byzantine.gradients.statistics import most_deviations
from tests.byzantine.gradients.helpers import ATTACKERS, HONEST, knowing, rows

KNOWN = rows(1)
MEAN = [statistics.fmean(column) for column in KNOWN.T.tolist()]
SIGMA = [statistics.stdev(column) for column in KNOWN.T.tolist()]


def sent(text: str, known: torch.Tensor = KNOWN) -> list[float]:
    attack = make_attack(text)
    assert isinstance(attack, GradientAttack)
    vector = attack.vectors(knowing(known))
    assert vector.shape == (known.shape[1],) and vector.dtype == torch.float32
    return vector.tolist()


@pytest.mark.parametrize(("flag", "sign"), [("", 1), (",negative=true", -1)])
def test_little(flag: str, sign: int) -> None:
    expected = [m + sign * 1.5 * s for m, s in zip(MEAN, SIGMA, strict=True)]
    assert sent(f"little:factor=1.5{flag}") == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_little_of_one_vector_is_that_vector() -> None:
    assert sent("little:factor=1.5", KNOWN[:1]) == KNOWN[0].tolist()


def test_alie_goes_z_max_deviations() -> None:
    z = most_deviations(HONEST + ATTACKERS, ATTACKERS)
    expected = [m - z * s for m, s in zip(MEAN, SIGMA, strict=True)]
    assert sent("alie") == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("empire:factor=1.1", -0.1),
        ("empire:factor=1.1,negative=true", 2.1),
        ("empire_strict", -1.0),
        ("empire_strict:factor=2", -2.0),
        ("ipm", -0.1),
        ("ipm:factor=0.6", -0.6),
        ("sign_flip", -1000.0),
        ("sign_flip:scale=1", -1.0),
    ],
)
def test_multiples_of_the_mean(text: str, times: float) -> None:
    assert sent(text) == pytest.approx([times * m for m in MEAN], rel=1e-4, abs=1e-6)
