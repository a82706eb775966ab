"""The bytes of a training state: what is in it, in which order, and how strictly it is read back.

A state is a table of named tensors (parameters, buffers, optimizer moments) and counters (learning rates, steps). Bytes
come from strangers, so they are safetensors and JSON, never pickle. Size, names, shapes and types are compared with
what the receiver's own task would have before any tensor is made, and all else before anything is changed. Tensors are
then taken over one after the other, so that a state that is read from a file is never whole in memory twice.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from btard.errors import UserError
from btard.hashing import Payload
from btard.outline import Outline
from btard.tasks.base import Task
from btard.tasks.state_form import LENGTH, TensorEntry, bytes_of_tensor, entries_of, header_of, read_into, tensor_at

_COUNTERS = "counters"
_MODEL = "model/"
_OPTIMIZER = "optimizer/"
_MOVING_GROUP_KEYS = frozenset({"lr", "step"})
_MOST_COUNTERS = 64 << 10
_PER_TENSOR = 256
"""Bytes of a tensor's entry in the header, beside its name."""

_Layout = dict[str, tuple[tuple[int, ...], torch.dtype]]
_SCHEDULER_KEYS = ("last_epoch", "_step_count", "base_lrs", "_last_lr")
_MOVING_SCHEDULER_KEYS = frozenset({"last_epoch", "_step_count", "_last_lr"})


@dataclass(frozen=True, slots=True)
class _Slot:
    """An entry of the optimizer's state of a parameter: shaped like it (`shape` None) or of a fixed shape."""

    shape: tuple[int, ...] | None
    dtype: torch.dtype


class StateCodec:
    """Reads and writes the state of one model with its optimizer and scheduler.

    Attributes:
        most_bytes: no encoded state of this model is longer.
    """

    def __init__(self, task: Task, model: nn.Module, optimizer: Optimizer, scheduler: LambdaLR) -> None:
        self._model = model
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self._slots = _optimizer_slots(task)
        self._headers: dict[tuple[int, int], bytes] = {}
        layout = self._expected(stepped=True)
        self._most_header = sum(len(json.dumps(name)) + _PER_TENSOR for name in layout) + _PER_TENSOR
        tensors = sum(math.prod(shape) * dtype.itemsize for shape, dtype in layout.values())
        self.most_bytes = LENGTH + self._most_header + tensors + _MOST_COUNTERS

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name in canonical order: parameters, buffers, then the optimizer's, by parameter."""
        table = {_MODEL + name: tensor.detach() for name, tensor in self._model.named_parameters()}
        table.update({_MODEL + name: tensor for name, tensor in self._model.named_buffers()})
        for parameter, name in self._names.items():
            state = self._optimizer.state.get(parameter, {})
            for key in sorted(state):
                table[f"{_OPTIMIZER}{key}/{name}"] = state[key]
        return table

    def counters(self) -> dict[str, Any]:
        """The numbers beside the tensors, JSON only."""
        return {
            "groups": [
                # Settings that are no numbers choose between implementations and differ between torch's versions.
                {key: _plain(value) for key, value in sorted(group.items()) if key != "params" and _is_numeric(value)}
                for group in self._optimizer.param_groups
            ],
            "scheduler": {key: _plain(getattr(self._scheduler, key)) for key in _SCHEDULER_KEYS},
        }

    def pieces(self) -> Iterator[memoryview | bytes]:
        """The encoded state piece by piece, for the most part the tensors' own memory: use each before the next."""
        table = self.tensors()
        counters = bytearray(_canonical_json(self.counters()))
        table[_COUNTERS] = torch.frombuffer(counters, dtype=torch.uint8)
        # Shapes and types never change, only how many tensors there are, once the optimizer remembers some.
        form = len(table), len(counters)
        if form not in self._headers:
            self._headers[form] = header_of(table)
        yield self._headers[form]
        for tensor in table.values():
            yield bytes_of_tensor(tensor)

    def outline(self) -> Outline:
        """The digests of the chunks of the encoded state, which is not made for that."""
        return Outline.of(self.pieces())

    def encode(self) -> bytes:
        """The state as safetensors; the counters are canonical JSON in a uint8 tensor, the last one."""
        return b"".join(self.pieces())

    def decode(self, data: Payload) -> None:
        """Takes over an encoded state; the own state is unchanged unless all of it fits.

        Raises:
            UserError: damaged bytes, or names, shapes, dtypes or settings that differ from the own state's.
        """
        entries = self._entries_told(data)
        counters = entries.pop(_COUNTERS, None)
        stepped = any(name.startswith(_OPTIMIZER) for name in entries)
        told = {name: (entry.shape, entry.dtype) for name, entry in entries.items()}
        self._check_layout(told, self._expected(stepped))
        checked = self._checked_counters(None if counters is None else tensor_at(data, counters))
        self._take_over(data, entries, checked, stepped)

    def _entries_told(self, data: Payload) -> dict[str, TensorEntry]:
        """Return what the header of an encoded state tells.

        Raises:
            UserError: more bytes than a state of this task has, or no header that fits them.
        """
        if len(data) > self.most_bytes:
            raise UserError(
                f"the training state has {len(data):,} bytes, but one of this task and size has {self.most_bytes:,} at "
                "most; it belongs to another task or size"
            )
        entries = entries_of(data, self._most_header)
        counters = entries.get(_COUNTERS)
        if counters is not None and counters.end - counters.start > _MOST_COUNTERS:
            raise UserError(f"the training state has more than {_MOST_COUNTERS:,} bytes of counters")
        return entries

    def _expected(self, stepped: bool) -> _Layout:
        expected = {_MODEL + name: (tuple(t.shape), t.dtype) for name, t in self._model.named_parameters()}
        expected.update({_MODEL + name: (tuple(t.shape), t.dtype) for name, t in self._model.named_buffers()})
        if stepped:
            for parameter, name in self._names.items():
                for key, slot in self._slots.items():
                    shape = tuple(parameter.shape) if slot.shape is None else slot.shape
                    expected[f"{_OPTIMIZER}{key}/{name}"] = (shape, slot.dtype)
        return expected

    @staticmethod
    def _check_layout(told: _Layout, expected: _Layout) -> None:
        if strange := sorted(told.keys() ^ expected.keys()):
            name = strange[0]
            verb = "has a tensor {!r:.80} too many" if name in told else "lacks the tensor {!r}"
            raise UserError(f"the training state {verb.format(name)}; it belongs to another task or size")
        for name, (shape, dtype) in expected.items():
            found_shape, found_dtype = told[name]
            if found_shape != shape or found_dtype != dtype:
                raise UserError(
                    f"the training state's tensor {name!r} is {found_dtype} {str(found_shape)[:80]} instead of "
                    f"{dtype} {shape}; it belongs to another task or size"
                )

    def _checked_counters(self, encoded: torch.Tensor | None) -> dict[str, Any]:
        if encoded is None or encoded.dtype != torch.uint8:
            raise UserError("the training state lacks its counters; it was not written by this program")
        try:
            counters: dict[str, Any] = json.loads(encoded.numpy().tobytes())
            own = self.counters()
            if counters.keys() != own.keys() or len(counters["groups"]) != len(own["groups"]):
                raise ValueError("other parts or parameter groups")
            for found, mine in zip(counters["groups"], own["groups"], strict=True):
                _check_numbers(found, mine, _MOVING_GROUP_KEYS)
            _check_numbers(counters["scheduler"], own["scheduler"], _MOVING_SCHEDULER_KEYS)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"the training state's counters do not fit this task's optimizer and schedule: {error}"
            ) from error
        return counters

    @torch.no_grad()
    def _take_over(
        self, data: Payload, entries: Mapping[str, TensorEntry], counters: Mapping[str, Any], stepped: bool
    ) -> None:
        for name, tensor in (*self._model.named_parameters(), *self._model.named_buffers()):
            read_into(tensor, data, entries[_MODEL + name])
        if not stepped:
            self._optimizer.state.clear()
        for parameter, name in self._names.items() if stepped else ():
            held = self._optimizer.state[parameter]
            for key, slot in self._slots.items():
                entry = entries[f"{_OPTIMIZER}{key}/{name}"]
                if key in held:
                    # What is there already is written over: to make all of it anew would take its memory twice.
                    read_into(held[key], data, entry)
                else:
                    # torch keeps step counts on the CPU wherever the parameter is.
                    held[key] = tensor_at(data, entry).to("cpu" if slot.shape == () else parameter.device)
        for group, found in zip(self._optimizer.param_groups, counters["groups"], strict=True):
            group.update({key: found[key] for key in _MOVING_GROUP_KEYS & found.keys()})
        for key in _MOVING_SCHEDULER_KEYS:
            setattr(self._scheduler, key, counters["scheduler"][key])


def _optimizer_slots(task: Task) -> dict[str, _Slot]:
    """What the task's optimizer remembers of each parameter, learnt from one step of a toy model.

    The own optimizer cannot be asked: it remembers nothing before its first step.
    """
    # A shape that no fixed-shape entry has by chance.
    toy = nn.Linear(7, 5, bias=False)
    optimizer, _ = task.build_optimizer(toy)
    toy.weight.grad = torch.ones_like(toy.weight)
    optimizer.step()
    return {
        key: _Slot(None if value.shape == toy.weight.shape else tuple(value.shape), value.dtype)
        for key, value in sorted(optimizer.state[toy.weight].items())
    }


def _is_numeric(value: Any) -> bool:
    items = value if isinstance(value, tuple | list) else (value,)
    return all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a value equals itself after JSON."""
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _check_numbers(found: Mapping[str, Any], own: Mapping[str, Any], moving: frozenset[str]) -> None:
    """Compares settings, which must be equal, and counters that move with training, which must be of the same kind.

    Raises:
        ValueError: they differ.
    """
    if found.keys() != own.keys():
        raise ValueError(f"{sorted(found.keys() ^ own.keys())[0]} is only in one of them")
    for key, mine in own.items():
        other = found[key]
        if key not in moving:
            if other != mine:
                raise ValueError(f"{key} is {other} there and {mine} here")
            continue
        others, mines = (other, mine) if isinstance(mine, list) else ([other], [mine])
        fits = isinstance(others, list) and len(others) == len(mines)
        if not fits or not all(_same_kind(a, b) for a, b in zip(others, mines, strict=True)):
            raise ValueError(f"{key} is {other!r:.40}")


def _same_kind(value: Any, own: int | float) -> bool:
    """Whether a moving number is usable: a count for a count, a finite number for a rate, never negative."""
    wanted = int if isinstance(own, int) and not isinstance(own, bool) else (int, float)
    return isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 2**53
