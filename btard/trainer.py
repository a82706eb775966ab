"""What a peer that trains can do, and what it submits: the same for daemons and simulated peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from btard.behaviour import Behaviour
from btard.vectors.momentum import Momentum, submission

B = TypeVar("B")


@dataclass(frozen=True)
class Contribution:
    """What a peer sends in a step.

    Attributes:
        vector: float32 of shape (d,), not to be changed before the step ends.
        momentum: digest of the momentum that it is built on; empty where the run uses none.
    """

    vector: torch.Tensor
    momentum: bytes


class Trainer(Protocol):
    """A training state, and what the rounds of a run ask of it.

    A trainer knows which global step its state belongs to: `contribute` and `load` say so, and `apply` moves it on by
    one. With the parameters from before the last two it repeats what others did in the two steps before.
    """

    async def contribute(self, seed: bytes, step: int, behaviour: Behaviour) -> Contribution:
        """Return what this peer submits in `step`, computed on the batch of a public seed at the current state.

        With momentum the vector continues the chain of what this peer has submitted, lies included: the others can only
        verify a chain of what they were sent.
        """

    async def recompute(self, seed: bytes, step: int, base: torch.Tensor | None) -> torch.Tensor | None:
        """Return the vector that an honest peer with this public seed submits in `step`; the state stays as it is.

        Args:
            seed: 32 bytes, the peer's public seed of the step.
            step: the global step that the current state belongs to, or one of the two before it.
            base: with momentum, the peer's m of the step before, float32 on the CPU, shape (d,); None for zeros, with
                which a peer begins. Without momentum it is not looked at.

        Returns:
            float32 on the CPU, shape (d,), bit-equal to the peer's own on a machine of the same kind; None when this
            trainer does not hold the state before `step`.
        """

    def momentum_base(self, step: int) -> bytes | None:
        """Return the 4 d float32 bytes of the base of the contribution to `step`, for others that recompute it.

        None without momentum, and for all but the last three steps in which this peer computed.
        """

    def submitted(self, step: int) -> bytes | None:
        """Return the 4 d float32 bytes of the contribution to `step`, for others that examine failed attempts at it.

        None for all but the last three steps in which this peer computed.
        """

    async def withdraw(self, step: int) -> None:
        """Take the contribution to `step` back: nobody was sent it, so no later one is built on it."""

    async def apply(self, aggregate: torch.Tensor) -> bytes:
        """Take a step along an aggregate, float32 of shape (d,), and return the new state's digest."""

    async def digest(self) -> bytes:
        """Return the current state's digest."""

    async def load(self, data: bytes, step: int | None) -> bytes:
        """Take over a serialised state and return its digest; the previous parameters and the momentum are forgotten.

        Args:
            data: as another trainer of the run serialised it.
            step: the global step that the state belongs to; None leaves it to the next `contribute` to say so, and
                until then nothing can be recomputed.
        """


def contribute(
    batch: B,
    step: int,
    behaviour: Behaviour,
    momentum: Momentum,
    *,
    label_flipped: Callable[[B], B],
    gradient: Callable[[B], torch.Tensor],
) -> Contribution:
    """Return what a peer submits in a step, and note it as the last link of its chain.

    Args:
        batch: what the peer's public seed gives.
        behaviour: may spoil the batch, the momentum and the vector; an honest one changes nothing.
        momentum: the peer's chain.
        label_flipped: the task's way to spoil a batch.
        gradient: batch -> float32 on the CPU, shape (d,).
    """
    batch = behaviour.batch(step, batch, label_flipped)
    base = momentum.base(step)
    base = None if base is None else behaviour.momentum(step, base)
    vector = behaviour.gradient(step, submission(gradient(batch), base, momentum.mu))
    momentum.submitted(step, base, vector)
    return Contribution(vector, momentum.digest)
