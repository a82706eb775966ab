"""The attack of the Bulyan paper: one coordinate, moved as far as a rule lets through (El-Mhamdi, Guerraoui, Rouault,
arXiv 1802.07927)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from btard.byzantine.gradients.crafted.along_line import AlongLine
from btard.errors import UserError


@dataclass
class ShiftedCoordinate(AlongLine):
    """mean + factor e_k, or mean + factor 1.

    Attributes:
        target_idx: k, counted from the end where it is negative; `all` for every coordinate.
    """

    target_idx: int | Literal["all"] = -1

    def line(self, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and what is added to it.

        Raises:
            UserError: the model has no such coordinate.
        """
        mean = known.mean(0)
        if self.target_idx == "all":
            return mean, torch.ones_like(mean)
        if not -len(mean) <= self.target_idx < len(mean):
            raise UserError(f"target_idx is {self.target_idx}, but the model has {len(mean)} coordinates")
        direction = torch.zeros_like(mean)
        direction[self.target_idx] = 1.0
        return mean, direction
