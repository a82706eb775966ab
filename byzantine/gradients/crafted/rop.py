"""Relocated orthogonal perturbation (Ozfatura, Ozfatura, Kupcu, Gunduz, arXiv 2208.09894)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge

_MOMENTUM = 0.9
_HISTORY = "history"


@dataclass
class RelocatedPerturbation(GradientAttack):
    """Last step's direction, moved at an angle to it, which centred clipping lets through.

    The paper's reference is the server's momentum of the step before. Here it is the moving average of what is known of
    honest vectors; it is learnt in every step, attacked or not.

    Attributes:
        angle: of the perturbation to its reference, in degrees.
        length: of the perturbation; published: 1, the clipping radius.
    """

    angle: Annotated[float, Field(ge=0, le=360)] = 90.0
    length: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    def __post_init__(self) -> None:
        self._history: torch.Tensor | None = None

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        average, history = self._learnt(knowledge)
        return relocated(average, history, angle=self.angle, length=self.length)

    def observe(self, knowledge: Knowledge) -> None:
        self._learnt(knowledge)

    def state(self) -> Mapping[str, torch.Tensor]:
        return {} if self._history is None else {_HISTORY: self._history.clone()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self._history = state[_HISTORY].clone() if _HISTORY in state else None

    def _learnt(self, knowledge: Knowledge) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of the known vectors and the history before it, and add it to that."""
        average = knowledge.known.mean(0)
        history = average if self._history is None else self._history
        self._history = _MOMENTUM * history + (1 - _MOMENTUM) * average
        return average, history


def relocated(
    average: torch.Tensor,
    history: torch.Tensor,
    *,
    angle: float,
    length: float,
    relocation: float = 1.0,
    weight: float = 0.9,
) -> torch.Tensor:
    """Return the vector of ROP.

    A perturbation of the given length stands at `angle` degrees to a reference between `history` and the average
    (`weight` of the first), and starts at a place between them (`relocation` of the first). Within the plane of the
    reference and the vector of ones, so that all attackers push the same way.
    """
    reference = weight * history + (1 - weight) * average
    size = reference.norm()
    along = reference / size if size > 0 else reference
    across = torch.ones_like(along) - along.sum() * along
    if across.norm() > 0:
        across = across / across.norm()
    turned = math.sin(math.radians(angle)) * across + math.cos(math.radians(angle)) * along
    return relocation * history + (1 - relocation) * average + length * turned
