"""A model in training: gradients, updates, digests, serialised states, checkpoints."""

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from pydantic import JsonValue

from btard.durable import write_durably
from btard.errors import UserError
from btard.hashing import Payload
from btard.tasks.base import Batch, HeldOutResult, Schedule, Task
from btard.tasks.checkpoint_record import CHECKPOINT_FORMAT, CheckpointRecord, read_inside
from btard.tasks.state_codec import StateCodec
from btard.vocabulary import CHECKPOINT_FILE, Precision

# Fixed, because a scale that adapts to past overflows would make a gradient depend on more than batch and parameters.
_FLOAT16_LOSS_SCALE = 1024.0

_MOST_HELD = 2
"""Updates that one can go back."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds beside the state.

    Attributes:
        step: the step of the swarm at which it was saved.
        extra: whatever the caller stored with it.
    """

    step: int
    extra: dict[str, JsonValue] = field(default_factory=dict)


class TrainingState:
    """Owns a task's model, optimizer and scheduler on one device.

    The same calls with the same arguments give the same bytes on one machine, whatever ran before; honest peers on
    machines of one kind (same libraries, same instruction set, same number of threads) stay bit-equal.

    The parameters from before the last two `apply` are kept, so that gradients of those steps can be computed again.

    Attributes:
        task: what is trained.
        model: the model, in training mode.
        device: CUDA if there is one, else the CPU, unless chosen.
        dimension: d, how many trained numbers the model has.
        updates: how many times `apply` has run since the weights were drawn; travels with the state.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        schedule: Schedule | None = None,
        precision: Precision = Precision.FLOAT32,
        device: torch.device | None = None,
    ) -> None:
        """Draws the initial weights from `seed`; without a schedule, the task's own is used."""
        self.task = task
        self.device = device or best_device()
        self._precision = precision
        if self.device.type == "cuda":
            # Both are needed for repeatable matrix products; the variable is read when the first one runs.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        self.model = task.build_model(seed).to(self.device)
        self._optimizer, self._scheduler = task.build_optimizer(self.model, schedule)
        self._codec = StateCodec(task, self.model, self._optimizer, self._scheduler)
        self._parameters = [parameter for _, parameter in self.model.named_parameters()]
        # Allocated by the first `apply`: a state that is only stored or evaluated does without.
        self._before: list[list[torch.Tensor]] = []
        self._held = 0
        self.dimension = sum(parameter.numel() for parameter in self._parameters)

    @property
    def updates(self) -> int:
        """How many updates the schedule has seen."""
        return int(self._scheduler.last_epoch)

    @property
    def held(self) -> int:
        """How many updates one can go back: two at most, and no more than `apply` has run since the state was taken
        over."""
        return self._held

    def forget_previous(self) -> None:
        """Counts the parameters from before the last updates as unknown until the next ones."""
        self._held = 0

    @contextmanager
    def previously(self, back: int = 1) -> Iterator[None]:
        """Inside, the parameters are those from before the last `back` updates; afterwards all is as it was, bit by
        bit.

        Inside, only `gradient` and `flat_parameters` make sense: buffers do not move in training, but the optimizer's
        state and the schedule have moved on.

        Raises:
            ValueError: those parameters are not known (see `held`).
        """
        if not 0 < back <= self._held:
            raise ValueError(f"the parameters from before the last {back} updates are not known")
        before = self._before[back - 1]
        self._exchange(before)
        try:
            yield
        finally:
            self._exchange(before)

    def gradient(self, batch: Batch, seed: bytes, max_grad_norm: float | None = None) -> tuple[torch.Tensor, float]:
        """The gradient of the batch's mean loss at the current parameters, which stay as they are.

        Args:
            batch: samples, on any device.
            seed: 32 bytes that dropout is drawn from.
            max_grad_norm: scale the gradient down to this Euclidean norm if it is longer.

        Returns:
            The gradient, float32 on the CPU, shape (dimension,), in the order of the model's named parameters, zero for
            parameters that took no part; and the loss. Both may hold NaN or Inf if the arithmetic overflowed.
        """
        self.model.zero_grad(set_to_none=True)
        scale = _FLOAT16_LOSS_SCALE if self._precision is Precision.FLOAT16 else 1.0
        with self._autocast():
            loss = self.task.loss(self.model, batch.to(self.device), seed)
        (loss * scale).backward()
        flat = torch.cat(
            [
                torch.zeros(parameter.numel(), device=self.device)
                if parameter.grad is None
                else parameter.grad.reshape(-1)
                for parameter in self._parameters
            ]
        )
        self.model.zero_grad(set_to_none=True)
        flat = flat.float().cpu().div_(scale)
        if max_grad_norm is not None:
            norm = float(torch.linalg.vector_norm(flat, dtype=torch.float64))
            if math.isfinite(norm) and norm > max_grad_norm:
                flat.mul_(max_grad_norm / norm)
        return flat, float(loss.detach())

    def apply(self, flat_gradient: torch.Tensor) -> None:
        """One step of the optimizer and of the scheduler with this gradient.

        Args:
            flat_gradient: float32, shape (dimension,), as `gradient` orders it; any device.

        Raises:
            ValueError: wrong shape or dtype, or a number that is not finite; the state is unchanged.
        """
        if flat_gradient.shape != (self.dimension,) or flat_gradient.dtype != torch.float32:
            raise ValueError(
                f"a gradient is float32 of shape ({self.dimension},), this one is {flat_gradient.dtype} of shape "
                f"{tuple(flat_gradient.shape)}"
            )
        if not bool(torch.isfinite(flat_gradient).all()):
            raise ValueError("the gradient holds numbers that are not finite")
        parts = flat_gradient.to(self.device).split([parameter.numel() for parameter in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            # A copy: optimizers may keep or change the gradient, and the caller's vector must stay as it is.
            parameter.grad = part.reshape(parameter.shape).clone()
        self._keep_parameters()
        self._optimizer.step()
        self._scheduler.step()
        self.model.zero_grad(set_to_none=True)

    def flat_parameters(self) -> torch.Tensor:
        """A copy of the parameters, float32 on the CPU, shape (dimension,), ordered as a gradient."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters]).float().cpu()

    def digest(self) -> bytes:
        """32 bytes that follow from parameters, buffers, optimizer state and step counters: those of the outline of
        `state_bytes`."""
        return self._codec.outline().digest

    def state_bytes(self) -> bytes:
        """The whole state as safetensors, about three times the parameters' size with Adam or LAMB."""
        return self._codec.encode()

    @property
    def most_state_bytes(self) -> int:
        """No serialised state of this task and size is longer."""
        return self._codec.most_bytes

    def load_state_bytes(self, data: Payload) -> None:
        """Takes over a state that `state_bytes` of the same task wrote; afterwards the digests are equal.

        Raises:
            UserError: damaged, or of another task, size or schedule; the own state is unchanged.
        """
        self._codec.decode(data)
        self.forget_previous()

    def save_checkpoint(self, folder: Path, step: int, extra: dict[str, JsonValue] | None = None) -> None:
        """Writes the state and what belongs to it into a folder; one already there stays whole until the new one is.

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        data = self.state_bytes()
        digest = blake3(data).hexdigest()
        record = CheckpointRecord(
            format=CHECKPOINT_FORMAT,
            task=self.task.name,
            size=self.task.size,
            fingerprint=self.task.fingerprint,
            step=step,
            state_file=f"state-{digest[:16]}.safetensors",
            state_digest=digest,
            extra=extra or {},
        )
        # The record names its state file, so replacing the record is the one moment at which the checkpoint changes.
        write_durably(folder / record.state_file, data)
        write_durably(folder / CHECKPOINT_FILE, record.model_dump_json(indent=2).encode())
        for old in folder.glob("state-*.safetensors"):
            if old.name != record.state_file:
                old.unlink(missing_ok=True)

    def load_checkpoint(self, folder: Path) -> Checkpoint:
        """Takes over the state of a checkpoint.

        Raises:
            UserError: none there, damaged, or of another task, size or data; the own state is unchanged.
        """
        record = CheckpointRecord.read(folder)
        record.check(folder, self.task.name, self.task.size, self.task.fingerprint)
        try:
            data = read_inside(folder, record.state_file, self._codec.most_bytes)
        except OSError as error:
            raise UserError(f"the checkpoint in {folder} is damaged: {record.state_file} cannot be read") from error
        if blake3(data).hexdigest() != record.state_digest:
            raise UserError(f"the checkpoint in {folder} is damaged: {record.state_file} was cut or changed")
        self.load_state_bytes(data)
        return Checkpoint(record.step, record.extra)

    def evaluate(self) -> float:
        """The loss on the task's fixed held-out part, without dropout."""
        return self.evaluated().loss

    def evaluated(self) -> HeldOutResult:
        """Loss and right answers on the task's fixed held-out part, without dropout."""
        with self._autocast():
            return self.task.evaluated(self.model)

    @torch.no_grad()
    def _keep_parameters(self) -> None:
        values = [parameter.detach() for parameter in self._parameters]
        if len(self._before) < _MOST_HELD:
            self._before.insert(0, [torch.empty_like(value) for value in values])
        else:
            self._before.insert(0, self._before.pop())
        torch._foreach_copy_(self._before[0], values)
        self._held = min(self._held + 1, _MOST_HELD)

    def _exchange(self, before: list[torch.Tensor]) -> None:
        """Current and earlier parameters change places: no number is copied, so none can change."""
        for index, parameter in enumerate(self._parameters):
            parameter.data, before[index] = before[index], parameter.data

    def _autocast(self) -> AbstractContextManager[Any]:
        match self._precision:
            case Precision.FLOAT32:
                return nullcontext()
            case Precision.BFLOAT16:
                return torch.autocast(self.device.type, dtype=torch.bfloat16)
            case Precision.FLOAT16:
                return torch.autocast(self.device.type, dtype=torch.float16)


def best_device() -> torch.device:
    """CUDA if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
