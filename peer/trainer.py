"""The computing half of a peer: the training state and a worker thread that is the only one to touch it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import Malformed
from btard.outline import Outlined
from btard.swarm.calibration import numerics
from btard.swarm.manifest import RunManifest
from btard.swarm.probe import Arithmetic, Probe, probe_seed
from btard.tasks.base import Batch, Schedule, Task
from btard.tasks.training_state import TrainingState
from btard.trainer import Contribution, contribute
from btard.vectors.momentum import KeptLink, Momentum, submission
from btard.vocabulary import Device, Precision

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Gradient(Contribution):
    """What a peer computed for a step.

    Attributes:
        loss: mean loss of the batch that was computed on, whatever became of the vector.
        seconds: wall time.
    """

    loss: float
    seconds: float


class TaskTrainer:
    """Owns the training state: the `btard.trainer.Trainer` of a daemon. All heavy calls run in `worker`, one after the
    other.
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
        self._computed: tuple[int, Gradient] | None = None
        self._momentum = Momentum(manifest.momentum, manifest.dimension)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="compute")
        # The first work of all, on the weights that the seed gives: no state has been loaded yet.
        self._probe = self.worker.submit(self._measure_probe)

    async def probe(self) -> Probe:
        """Return the gradient by which this machine is compared with others."""
        return await asyncio.wrap_future(self._probe)

    def _measure_probe(self) -> Probe:
        run, device = self._manifest.run, self._state.device
        seed = probe_seed(run)
        # Not scaled down: the length may be what differs.
        vector, _ = self._state.gradient(self._task.batch(seed, self._manifest.batch_size), seed)
        return Probe.of(vector, run, Arithmetic.here(device, Precision(self._manifest.precision)))

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.worker, function)

    async def contribute(self, seed: bytes, step: int, behaviour: Behaviour) -> Gradient:
        """See `btard.trainer.Trainer`; tells the loss, too, and what it took."""

        def compute() -> Gradient:
            started = time.perf_counter()
            self._stand_at(step)
            losses: list[float] = []

            def gradient(batch: Batch) -> torch.Tensor:
                vector, loss = self._gradient(batch, seed)
                losses.append(loss)
                return vector

            made = contribute(
                self._task.batch(seed, self._manifest.batch_size),
                step,
                behaviour,
                self._momentum,
                label_flipped=self._task.label_flipped,
                gradient=gradient,
            )
            return Gradient(made.vector, made.momentum, losses[-1], time.perf_counter() - started)

        made = await self._work(compute)
        self._computed = step, made
        return made

    def computed(self, step: int) -> Gradient | None:
        """Return what was computed last, if that was for this step."""
        return self._computed[1] if self._computed is not None and self._computed[0] == step else None

    async def recompute(self, seed: bytes, step: int, base: torch.Tensor | None = None) -> torch.Tensor | None:
        """See `btard.trainer.Trainer`.

        Raises:
            ValueError: the base is no float32 vector of shape (d,).
        """

        def compute() -> torch.Tensor | None:
            back = -1 if self._step is None else self._step - step
            if not 0 <= back <= self._state.held:
                return None
            parameters: AbstractContextManager[None] = self._state.previously(back) if back else nullcontext()
            with parameters:
                gradient, _ = self._gradient(self._task.batch(seed, self._manifest.batch_size), seed)
            return submission(gradient, base, self._momentum.mu)

        return await self._work(compute)

    def momentum_base(self, step: int) -> bytes | None:
        """See `btard.trainer.Trainer`."""
        return self._momentum.base_bytes(step)

    def submitted(self, step: int) -> bytes | None:
        """See `btard.trainer.Trainer`."""
        return self._momentum.vector_bytes(step)

    async def withdraw(self, step: int) -> None:
        """See `btard.trainer.Trainer`; what is still being computed is waited for."""
        await self._work(lambda: self._momentum.withdraw(step))

    def _gradient(self, batch: Batch, seed: bytes) -> tuple[torch.Tensor, float]:
        """The one way to a true gradient, for the own and for those of others; with the batch's loss."""
        return self._state.gradient(batch, seed, self._manifest.max_grad_norm)

    def _stand_at(self, step: int) -> None:
        if self._step != step:
            self._state.forget_previous()
            self._step = step

    async def apply(self, aggregate: torch.Tensor) -> bytes:
        """See `btard.trainer.Trainer`: an optimizer step; numbers that are not finite count as zero."""

        def update() -> bytes:
            self._state.apply(torch.nan_to_num(aggregate, nan=0.0, posinf=0.0, neginf=0.0))
            if self._step is not None:
                self._step += 1
            return self._state.digest()

        return await self._work(update)

    async def digest(self) -> bytes:
        """Return the current state's digest."""
        return await self._work(self._state.digest)

    async def serialize(self) -> Outlined:
        """Return the current state's bytes, with the digests of their chunks."""
        return await self._work(lambda: Outlined.of(self._state.state_bytes()))

    async def keep(self) -> tuple[bytes, bytes, KeptLink | None]:
        """Return the current state's bytes and its digest, and the last link of the own momentum, for this disk."""

        def kept() -> tuple[bytes, bytes, KeptLink | None]:
            made = Outlined.of(self._state.state_bytes())
            return made.data, made.outline.digest, self._momentum.last()

        return await self._work(kept)

    async def last_link(self) -> KeptLink | None:
        """Return the last link of the own momentum, for this disk; None where there is none."""
        return await self._work(self._momentum.last)

    async def go_on(self, data: Payload, link: KeptLink | None, step: int | None) -> bytes:
        """Go on from what `keep` gave, and return the digest.

        Raises:
            UserError: the bytes are no state of this run; the own state is unchanged.
        """

        def take_over() -> bytes:
            self._state.load_state_bytes(data)
            self._step = step
            self._momentum.reset()
            if link is not None:
                try:
                    self._momentum.go_on(link)
                except Malformed as error:
                    logger.warning("the momentum that was kept is not taken up: %s", error)
            return self._state.digest()

        return await self._work(take_over)

    async def load(self, data: Payload, step: int | None = None) -> bytes:
        """See `btard.trainer.Trainer`; the data are what `serialize` gave.

        Raises:
            UserError: the bytes are no state of this run; the own state is unchanged.
        """
        return await self.go_on(data, None, step)

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
