"""The computing half of a peer: the training state and a worker thread that is the only one to touch it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.peer.settings import Device
from btard.round.vectors.momentum import Momentum, submission
from btard.swarm.calibration import numerics
from btard.swarm.manifest import RunManifest
from btard.tasks.base import Batch, Schedule, Task
from btard.tasks.training_state import Precision, TrainingState

T = TypeVar("T")


@dataclass(frozen=True)
class Gradient:
    """What a peer computed for a step.

    Attributes:
        vector: float32 of shape (d,), as the behaviour wants it sent.
        loss: mean loss of the batch that was computed on, whatever became of the vector.
        seconds: wall time.
    """

    vector: torch.Tensor
    loss: float
    seconds: float


class Trainer:
    """Owns the training state. All heavy calls run in `worker`, one after the other.

    The trainer knows which global step its state belongs to: `gradient` and `load` say so, and `apply` moves it on by
    one. With the parameters from before the last `apply` it can repeat what others did in the step before.
    """

    def __init__(self, task: Task, manifest: RunManifest, device: Device) -> None:
        """Draw the initial state from the manifest's seed.

        Raises:
            UserError: no such device, or the model is not the manifest's.
        """
        schedule = Schedule(manifest.learning_rate, manifest.warmup_steps, manifest.total_steps)
        self._task = task
        self._manifest = manifest
        self._state = TrainingState(task, manifest.seed, schedule, Precision(manifest.precision), chosen_device(device))
        if self._state.dimension != manifest.dimension:
            raise UserError(
                f"this version's model has {self._state.dimension} numbers, but the run's has {manifest.dimension}; "
                "install the version that the coordinator runs"
            )
        # A resumed run's state is still to come, so nothing can be said about this one.
        self._step = manifest.start_step if manifest.state_digest is None else None
        self._momentum = Momentum(manifest.momentum, manifest.dimension)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.worker, function)

    async def gradient(self, seed: bytes, step: int, behaviour: Behaviour) -> Gradient:
        """Compute on the batch of a public seed at the current state, the one before the global step `step`.

        With momentum the vector continues the chain of what this peer has submitted, lies included: the others can only
        verify a chain of what they were sent.
        """

        def compute() -> Gradient:
            started = time.perf_counter()
            self._stand_at(step)
            batch = self._task.batch(seed, self._manifest.batch_size)
            batch = behaviour.batch(step, batch, self._task.label_flipped)
            base = self._momentum.base(step)
            base = None if base is None else behaviour.momentum(step, base)
            honest, loss = self._submission(batch, seed, base)
            vector = behaviour.gradient(step, honest)
            self._momentum.submitted(step, base, vector)
            return Gradient(vector, loss, time.perf_counter() - started)

        return await self._work(compute)

    async def recompute(self, seed: bytes, step: int, base: torch.Tensor | None = None) -> torch.Tensor | None:
        """Return the vector that an honest peer with this public seed submits in `step`; the state stays as it is.

        It is bit-equal to the peer's own on a machine of the same kind.

        Args:
            seed: 32 bytes, the peer's public seed of the step.
            step: the global step that the current state belongs to, or the one before it.
            base: with momentum, the peer's m of the step before, float32 on the CPU, shape (d,); None for zeros, with
                which a peer begins. Without momentum it is not looked at.

        Returns:
            float32 on the CPU, shape (d,); None when this trainer does not hold the state before `step`.

        Raises:
            ValueError: the base is no float32 vector of shape (d,).
        """

        def compute() -> torch.Tensor | None:
            if self._step == step:
                parameters: AbstractContextManager[None] = nullcontext()
            elif self._step == step + 1 and self._state.holds_previous:
                parameters = self._state.previously()
            else:
                return None
            with parameters:
                return self._submission(self._task.batch(seed, self._manifest.batch_size), seed, base)[0]

        return await self._work(compute)

    def momentum_digest(self) -> bytes:
        """Return the digest of the base that the last `gradient` was built from, over its float32 bytes.

        Empty without momentum, and before the first `gradient` after joining.
        """
        return self._momentum.digest

    def momentum_base(self, step: int) -> bytes | None:
        """Return the 4 d float32 bytes of the base of `gradient` of `step`, for others that recompute it.

        None without momentum, and for all but the last two steps in which this peer computed.
        """
        return self._momentum.base_bytes(step)

    def _submission(self, batch: Batch, seed: bytes, base: torch.Tensor | None) -> tuple[torch.Tensor, float]:
        """The one way to an honest vector, for the own and for those of others; with the batch's loss."""
        vector, loss = self._state.gradient(batch, seed, self._manifest.max_grad_norm)
        return submission(vector, base, self._manifest.momentum), loss

    def _stand_at(self, step: int) -> None:
        if self._step != step:
            self._state.forget_previous()
            self._step = step

    async def apply(self, gradient: torch.Tensor) -> bytes:
        """Take an optimizer step and return the new state's digest; numbers that are not finite count as zero."""

        def update() -> bytes:
            self._state.apply(torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0))
            if self._step is not None:
                self._step += 1
            return self._state.digest()

        return await self._work(update)

    async def digest(self) -> bytes:
        """Return the current state's digest."""
        return await self._work(self._state.digest)

    async def serialize(self) -> tuple[bytes, bytes]:
        """Return the current state's bytes and its digest."""
        return await self._work(lambda: (self._state.state_bytes(), self._state.digest()))

    async def load(self, data: bytes, step: int | None = None) -> bytes:
        """Take over a serialised state and return its digest; the previous parameters and the momentum are forgotten.

        Args:
            data: what `serialize` gave.
            step: the global step that the state belongs to; None leaves it to the next `gradient` to say so, and until
                then nothing can be recomputed.

        Raises:
            UserError: the bytes are no state of this run; the own state is unchanged.
        """

        def take_over() -> bytes:
            self._state.load_state_bytes(data)
            self._step = step
            self._momentum.reset()
            return self._state.digest()

        return await self._work(take_over)

    @property
    def numerics(self) -> str:
        """What decides how numbers are rounded here, in words."""
        return numerics(self._state.device, Precision(self._manifest.precision))

    @property
    def most_state_bytes(self) -> int:
        """No serialised state of this run is longer."""
        return self._state.most_state_bytes

    def close(self) -> None:
        """End the worker."""
        self.worker.shutdown(wait=False, cancel_futures=True)


def chosen_device(device: Device) -> torch.device | None:
    """Return the torch device of a setting, None for torch's best.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if device is Device.AUTO:
        return None
    if device is Device.CUDA and not torch.cuda.is_available():
        raise UserError("--device is cuda, but this machine has no CUDA device; use --device cpu or auto")
    return torch.device(device.value)
