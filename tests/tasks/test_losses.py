"""Losses by name, beside their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from btard.tasks.losses import ClassLoss, NumberLoss

OUTPUTS = torch.log_softmax(torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 3.0]]), 1)
LABELS = torch.tensor([1, 0])


def by_hand(loss: ClassLoss) -> float:
    rows = list(zip(OUTPUTS.tolist(), LABELS.tolist(), strict=True))
    match loss:
        case ClassLoss.NLL | ClassLoss.CROSS_ENTROPY:
            return sum(-row[label] for row, label in rows) / 2
        case ClassLoss.MULTI_MARGIN:
            beyond = [sum(max(0.0, 1 - row[y] + x) for i, x in enumerate(row) if i != y) / 3 for row, y in rows]
            return sum(beyond) / 2
        case ClassLoss.MSE:
            return sum(sum((math.exp(x) - (i == y)) ** 2 for i, x in enumerate(row)) for row, y in rows) / 2


@pytest.mark.parametrize("loss", ClassLoss)
def test_losses_of_classes(loss: ClassLoss) -> None:
    assert float(loss.of(OUTPUTS, LABELS)) == pytest.approx(by_hand(loss), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (NumberLoss.MSE, (0.04 + 0.25) / 2),
        (NumberLoss.L1, (0.2 + 0.5) / 2),
        (NumberLoss.SMOOTH_L1, (0.02 + 0.125) / 2),
        (NumberLoss.BCE, (-math.log(0.8) - math.log(0.5)) / 2),
    ],
)
def test_losses_of_numbers(loss: NumberLoss, expected: float) -> None:
    found = loss.of(torch.tensor([0.8, 0.5]), torch.tensor([1.0, 0.0]))
    assert float(found) == pytest.approx(expected, rel=1e-5)
