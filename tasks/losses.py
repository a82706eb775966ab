"""Losses by name, for models that give log-probabilities of classes, and for those that give numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class ClassLoss(StrEnum):
    """The loss of log-probabilities (n, classes) beside labels (n,): the mean over the samples."""

    NLL = "nll"
    CROSS_ENTROPY = "cross_entropy"
    """Normalises once more, which changes nothing but rounding."""
    MULTI_MARGIN = "multi_margin"
    MSE = "mse"
    """Of probabilities beside 1 for the label and 0 for the others, summed over the classes."""

    def of(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss."""
        from torch.nn import functional

        match self:
            case ClassLoss.NLL:
                return functional.nll_loss(outputs, labels)
            case ClassLoss.CROSS_ENTROPY:
                return functional.cross_entropy(outputs, labels)
            case ClassLoss.MULTI_MARGIN:
                return functional.multi_margin_loss(outputs, labels)
            case ClassLoss.MSE:
                wanted = functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
                return (outputs.exp() - wanted).square().sum(1).mean()


class NumberLoss(StrEnum):
    """The loss of outputs (n,) beside targets (n,): the mean over the samples."""

    MSE = "mse"
    L1 = "l1"
    SMOOTH_L1 = "smooth_l1"
    BCE = "bce"
    """Binary cross entropy: outputs in (0, 1)."""

    def of(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss."""
        from torch.nn import functional

        match self:
            case NumberLoss.MSE:
                return functional.mse_loss(outputs, targets)
            case NumberLoss.L1:
                return functional.l1_loss(outputs, targets)
            case NumberLoss.SMOOTH_L1:
                return functional.smooth_l1_loss(outputs, targets)
            case NumberLoss.BCE:
                return functional.binary_cross_entropy(outputs, targets)
