"""The computing half of a peer: the training state and a worker thread that is the only one to touch it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from peer.manifest import RunManifest
from peer.settings import Device
from tasks.base import Schedule, Task
from tasks.training_state import Precision, TrainingState

T = TypeVar("T")


@dataclass(frozen=True)
class Gradient:
    """What a peer computed for a step.

    Attributes:
        vector: float32 of shape (d,), as the behaviour wants it sent.
        loss: mean loss of the batch that was computed on.
        seconds: wall time.
    """

    vector: torch.Tensor
    loss: float
    seconds: float


class Trainer:
    """Owns the training state. All heavy calls run in `worker`, one after the other."""

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
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.worker, function)

    async def gradient(self, seed: bytes, step: int, behaviour: Behaviour) -> Gradient:
        """Compute on the batch of a public seed at the current state."""

        def compute() -> Gradient:
            started = time.perf_counter()
            batch = self._task.batch(seed, self._manifest.batch_size)
            batch = behaviour.batch(step, batch, self._task.label_flipped)
            vector, loss = self._state.gradient(batch, seed, self._manifest.max_grad_norm)
            return Gradient(behaviour.gradient(step, vector), loss, time.perf_counter() - started)

        return await self._work(compute)

    async def apply(self, gradient: torch.Tensor) -> bytes:
        """Take an optimizer step and return the new state's digest; numbers that are not finite count as zero."""

        def update() -> bytes:
            self._state.apply(torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0))
            return self._state.digest()

        return await self._work(update)

    async def digest(self) -> bytes:
        """Return the current state's digest."""
        return await self._work(self._state.digest)

    async def serialize(self) -> tuple[bytes, bytes]:
        """Return the current state's bytes and its digest."""
        return await self._work(lambda: (self._state.state_bytes(), self._state.digest()))

    async def load(self, data: bytes) -> bytes:
        """Take over a serialised state and return its digest; raises UserError for bytes that are none."""

        def take_over() -> bytes:
            self._state.load_state_bytes(data)
            return self._state.digest()

        return await self._work(take_over)

    @property
    def most_state_bytes(self) -> int:
        """An upper bound for the bytes of a serialised state: parameters, buffers, and two moments."""
        return 16 * self._manifest.dimension + (8 << 20)

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
