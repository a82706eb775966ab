"""The training of a simulated peer: its state is a vector, and nothing that it does waits for anything."""

from __future__ import annotations

from collections.abc import Callable

import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.tensors import bytes_of
from btard.trainer import Contribution, contribute
from btard.vectors.momentum import Momentum, submission

_HELD = 2
"""Vectors that are kept from before the last steps."""

Gradient = Callable[[bytes, torch.Tensor], torch.Tensor]
"""(seed, parameters) -> the gradient of a public seed, float32 of shape (d,)."""

Move = Callable[[torch.Tensor, torch.Tensor, int | None], torch.Tensor]
"""(x^t, the aggregate, t) -> x^{t+1}, all float32 of shape (d,); equal arguments give equal bits."""


class VectorTrainer:
    """A `Trainer` that takes steps of plain gradient descent, or moves as it is told.

    Args:
        gradient: the true gradient.
        parameters: x^t, float32 of shape (d,), never changed in place: a step makes another vector.
        momentum: mu of the run, in [0, 1).
        learning_rate: what a step multiplies the aggregate by.
        spoiled: the gradient on the same samples with wrong labels, where the task has labels.
        step: the global step that the parameters belong to.
        move: what makes x^{t+1} of the aggregate, in place of plain descent.
    """

    def __init__(
        self,
        gradient: Gradient,
        parameters: torch.Tensor,
        *,
        momentum: float = 0.0,
        learning_rate: float = 1.0,
        spoiled: Gradient | None = None,
        step: int | None = 0,
        move: Move | None = None,
    ) -> None:
        self.gradient = gradient
        self.parameters = parameters
        self.spoiled = spoiled
        self._momentum = Momentum(momentum, len(parameters))
        self._learning_rate, self._move = learning_rate, move
        self._step = step
        self._before: tuple[torch.Tensor, ...] = ()

    async def contribute(self, seed: bytes, step: int, behaviour: Behaviour) -> Contribution:
        """See `Trainer`. A batch is a seed here, and whether its labels are spoiled."""
        if self._step != step:
            self._step, self._before = step, ()
        return contribute(
            (seed, False),
            step,
            behaviour,
            self._momentum,
            label_flipped=lambda batch: (batch[0], True),
            gradient=self._gradient_of,
        )

    def _gradient_of(self, batch: tuple[bytes, bool]) -> torch.Tensor:
        seed, wrong = batch
        gradient = self.spoiled if wrong and self.spoiled is not None else self.gradient
        return gradient(seed, self.parameters)

    def honest(self, seed: bytes, step: int) -> torch.Tensor:
        """Return what this peer has to submit in a step, float32 of shape (d,)."""
        return submission(self.gradient(seed, self.parameters), self._momentum.base(step), self._momentum.mu)

    async def recompute(self, seed: bytes, step: int, base: torch.Tensor | None) -> torch.Tensor | None:
        """See `Trainer`."""
        held = (self.parameters, *self._before)
        back = -1 if self._step is None else self._step - step
        if not 0 <= back < len(held):
            return None
        return submission(self.gradient(seed, held[back]), base, self._momentum.mu)

    def momentum_base(self, step: int) -> bytes | None:
        """See `Trainer`."""
        return self._momentum.base_bytes(step)

    def submitted(self, step: int) -> bytes | None:
        """See `Trainer`."""
        return self._momentum.vector_bytes(step)

    async def withdraw(self, step: int) -> None:
        """See `Trainer`."""
        self._momentum.withdraw(step)

    async def apply(self, aggregate: torch.Tensor) -> bytes:
        """See `Trainer`."""
        self._before = (self.parameters, *self._before)[:_HELD]
        if self._move is None:
            self.parameters = self.parameters - self._learning_rate * aggregate
        else:
            self.parameters = self._move(self.parameters, aggregate, self._step)
        if self._step is not None:
            self._step += 1
        return await self.digest()

    async def digest(self) -> bytes:
        """See `Trainer`."""
        return digest(bytes_of(self.parameters))

    async def load(self, data: bytes, step: int | None) -> bytes:
        """See `Trainer`; the data are the float32 bytes of the parameters."""
        self.parameters = torch.frombuffer(bytearray(data), dtype=torch.float32)
        self._step, self._before = step, ()
        self._momentum.reset()
        return await self.digest()
