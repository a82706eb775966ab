"""What stages tell each other before a step, as rows of float32: gradients of tied weights, and norms."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch

from btard.pipeline.stages.model_stage import Cut, tied_names


class StepExchange:
    """Which numbers each stage of a cut tells, in which order.

    Attributes:
        ties: stage and name of all copies of each tied weight.
    """

    def __init__(self, cut: Cut) -> None:
        whole = {name: tuple(weight.shape) for name, weight in cut.outline.named_parameters()}
        self.ties = tuple(tied_names(cut).values())
        again = {place for places in self.ties for place in places[1:]}
        self._tied: list[dict[str, tuple[int, ...]]] = []
        self._norms: list[list[str]] = []
        for stage in range(cut.stages):
            tied = sorted(name for places in self.ties for place, name in places if place == stage)
            self._tied.append({name: whole[name] for name in tied})
            self._norms.append([name for name in whole if cut.holds(stage, name) and (stage, name) not in again])

    def tied_numbers(self, stage: int) -> int:
        """Return how many numbers the gradients of a stage's tied weights have."""
        return sum(prod(shape) for shape in self._tied[stage].values())

    def norm_numbers(self, stage: int) -> int:
        """Return how many norms a stage tells."""
        return len(self._norms[stage])

    def tied_row(self, stage: int, gradients: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return a stage's tied gradients, by name, as one row."""
        return torch.cat([torch.empty(0), *(gradients[name].reshape(-1) for name in self._tied[stage])])

    def tied_gradients(self, stage: int, row: torch.Tensor) -> dict[tuple[int, str], torch.Tensor]:
        """Return from a row what `tied_row` has put there, by stage and name."""
        parts = row.split([prod(shape) for shape in self._tied[stage].values()]) if self._tied[stage] else ()
        shapes = self._tied[stage].items()
        return {(stage, name): part.reshape(shape) for (name, shape), part in zip(shapes, parts, strict=True)}

    def norm_row(self, stage: int, norms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return a stage's norms, by name, as one row."""
        return torch.stack([norms[name] for name in self._norms[stage]])

    def norms(self, stage: int, row: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return from a row what `norm_row` has put there."""
        return dict(zip(self._norms[stage], row, strict=True))

    @staticmethod
    def read_row(payload: bytes) -> torch.Tensor:
        """Return a row of float32 from its bytes; bytes that do not fill a number are left away."""
        whole = len(payload) // 4 * 4
        return torch.frombuffer(bytearray(payload[:whole]), dtype=torch.float32) if whole else torch.empty(0)
