"""What a stage may do otherwise than it should: every point at which a liar can enter, honest by default."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class StagePlace:
    """Where in a run a stage is about to say something.

    Attributes:
        step: of the optimizer.
        attempt: at that step.
        stages: how many there are.
        stage: the one that speaks.
        micro_batch: its number, 0 where all are concerned.
    """

    step: int
    attempt: int
    stages: int
    stage: int
    micro_batch: int = 0


class StageBehaviour:
    """An honest stage."""

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        """Return what is sent forward, float32 of the same shape."""
        return honest

    def jump(self, place: StagePlace, said: torch.Tensor) -> torch.Tensor:
        """Return what is sent forward to the stage that checks the next one; `said` is what the next one is sent."""
        return said

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        """Return what is sent back, float32 of the same shape."""
        return honest

    def norms(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        """Return the norms of the own gradients as all are told."""
        return honest

    def pledge(self, place: StagePlace, honest: bytes) -> bytes:
        """Return the digest of the own state as all are told."""
        return honest

    def accuses(self, place: StagePlace) -> bool:
        """Whether the stage before is accused of an activation, right or wrong."""
        return False

    def tolerates(self, place: StagePlace, accused: int) -> bool:
        """Whether a lie that was noticed is passed over in silence."""
        return False

    def finding(self, place: StagePlace, liar: int, accuser: int, accused: int) -> int:
        """Return the stage that is named as the liar, as the third of three."""
        return liar
