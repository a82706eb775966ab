"""Stages that lie in other ways than about their own tensors: as checkers, as neighbours, as judges, and together."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from btard.hashing import digest
from btard.pipeline.defence.attacks import MessageLie, told
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.tasks.randomness import SeededDraws


@dataclass(frozen=True)
class Persistent(StageBehaviour):
    """Lies about what it sends in a share of all steps, the first one that it can included.

    Attributes:
        forward: what becomes of activations; None leaves them.
        backward: what becomes of gradients; None leaves them.
        rate: probability that it lies in a step.
        seed: 32 bytes from which everything is drawn.
    """

    forward: MessageLie | None = None
    backward: MessageLie | None = None
    rate: float = 1.0
    seed: bytes = bytes(32)

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.forward, "forward", place, honest)

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.backward, "backward", place, honest)

    def _said(self, lie: MessageLie | None, way: str, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        draws = SeededDraws(self.seed)
        if lie is None or draws.uniform(f"lies {place.step}", 1)[0] >= self.rate:
            return honest
        return told(lie, honest, draws.torch_seed(f"{way} {place.step} {place.micro_batch}"))


@dataclass(frozen=True)
class WithinCheck(StageBehaviour):
    """Moves activations by as much as a tolerant check grants, always the same way.

    Every second entry goes up and the others down: layer normalisation takes away what moves all alike.

    Attributes:
        relative_error: of the L2 norm.
    """

    relative_error: float

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        ways = 1 - 2 * (torch.arange(honest.shape[-1]) % 2)
        return honest + 0.99 * self.relative_error * honest.square().mean().sqrt() * ways


@dataclass(frozen=True)
class LyingChecker(StageBehaviour):
    """Accuses the stage before of every activation."""

    def accuses(self, place: StagePlace) -> bool:
        return True


@dataclass(frozen=True)
class Framer(StageBehaviour):
    """Sends the stage that checks its neighbour another activation than that neighbour, so that it looks guilty."""

    def jump(self, place: StagePlace, said: torch.Tensor) -> torch.Tensor:
        return said + 1.0


@dataclass(frozen=True)
class WrongHash(StageBehaviour):
    """Pledges another state than it holds."""

    def pledge(self, place: StagePlace, honest: bytes) -> bytes:
        return digest(honest)


@dataclass(frozen=True)
class WrongNorms(StageBehaviour):
    """Tells norms a thousand times too small, so that its gradients are clipped less than all others."""

    def norms(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return honest / 1000


@dataclass(frozen=True)
class LyingJudge(StageBehaviour):
    """Names the innocent one of the two as the liar."""

    def finding(self, place: StagePlace, liar: int, accuser: int, accused: int) -> int:
        return accused if liar == accuser else accuser


@dataclass(frozen=True)
class SilentFriend(StageBehaviour):
    """Lies as another behaviour does, is silent about its friends, and names nobody of them as a judge.

    Attributes:
        friends: the stages that lie together.
        lie: how it lies by itself.
    """

    friends: frozenset[int]
    lie: StageBehaviour = field(default_factory=StageBehaviour)

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self.lie.activation(place, honest)

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self.lie.gradient(place, honest)

    def tolerates(self, place: StagePlace, accused: int) -> bool:
        return accused in self.friends

    def finding(self, place: StagePlace, liar: int, accuser: int, accused: int) -> int:
        return (accused if liar == accuser else accuser) if liar in self.friends else liar
