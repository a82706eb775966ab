"""What an attack on training is: on the vectors that attackers send, or on the samples that they compute them from.

An attack is pure mathematics with a state that can be saved. The laboratory runs it among simulated workers; in a live
swarm a behaviour runs the same class on what its colluders know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from btard.tasks.base import Batch

Aggregate = Callable[[torch.Tensor], torch.Tensor]
"""What the rule in use makes of one vector (d,) that all attackers send beside the known ones: (d,)."""


@dataclass(frozen=True)
class Knowledge:
    """What attackers know when they choose what to send in a step.

    Attributes:
        step: its number, from 0.
        known: (k, d) float32, k >= 1: the vectors that honest workers submit, after momentum and clipping. Omniscient
            attackers know those of all honest workers; colluders alone know their own honest ones.
        workers, attackers: n, and how many of them attack.
        declared: f, how many liars the rule allows for.
        parameters: (d,) float32, of the model; None where attackers do not look at them.
        aggregate: the rule in use; None where attackers do not know it.
        generator: of the attackers' own draws, on the CPU; it is part of the state of the run.
    """

    step: int
    known: torch.Tensor
    workers: int
    attackers: int
    declared: int
    generator: torch.Generator
    parameters: torch.Tensor | None = None
    aggregate: Aggregate | None = None


class GradientAttack(ABC):
    """One attack. A subclass is a dataclass whose fields are the attack's parameters, each with a type that text can be
    read as and a default, as those of an aggregation rule."""

    @abstractmethod
    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        """Return what attackers send: (d,) float32 for the same vector of all, or (attackers, d)."""

    def observe(self, knowledge: Knowledge) -> None:
        """Learn from a step in which nobody attacks; attacks with a memory do."""
        return

    def state(self) -> Mapping[str, torch.Tensor]:
        """Return what the attack remembers, so that a resumed run goes on bit by bit; empty for most."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` has returned."""
        return


class DataAttack(ABC):
    """One attack on samples; attackers compute honestly on what it returns. A dataclass like a gradient attack."""

    @abstractmethod
    def spoiled(self, batch: Batch, label_flipped: Callable[[Batch], Batch], generator: torch.Generator) -> Batch:
        """Return what an attacker computes on in place of `batch`.

        Args:
            label_flipped: the task's way to flip the labels of a batch.
            generator: of this attacker's own draws.
        """
