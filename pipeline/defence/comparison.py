"""When two computations of the same activation or gradient count as the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ComputationCheck:
    """Bit for bit, unless a relative error or a share of codes is granted. What is granted is what a liar may use.

    Attributes:
        relative_error: most of the L2 norm of the difference, as a share of that of the own computation.
        code_share: most of the entries of a tensor that may differ, each by one level at most.
    """

    relative_error: float = 0.0
    code_share: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.relative_error < 1 and 0 <= self.code_share < 1):
            raise ValueError("what a comparison grants is at least 0 and below 1")

    @property
    def exact(self) -> bool:
        """Whether every bit counts, so that digests can be compared in place of tensors."""
        return not self.relative_error and not self.code_share

    def same(self, own: torch.Tensor, told: torch.Tensor, levels: torch.Tensor | None = None) -> bool:
        """Whether what another stage has told counts as what was computed here.

        Args:
            own: float32.
            told: float32, of the same shape.
            levels: for what travels as codes, the distance between two levels of each entry; broadcasts to the shape.
        """
        if torch.equal(own, told):
            return True
        difference = (own - told).double()
        if not bool(torch.isfinite(difference).all()):
            return False
        if float(difference.norm()) <= self.relative_error * float(own.double().norm()):
            return True
        if levels is None:
            return False
        apart = difference.abs()
        share = float((apart > 0).double().mean())
        return share <= self.code_share and bool((apart <= 1.001 * levels.double() + 1e-12).all())


EXACT = ComputationCheck()
"""Every bit counts."""
