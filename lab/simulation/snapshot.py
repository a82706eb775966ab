"""A swarm in the middle of its steps as bytes: peers, what is on its way between them, and what each remembers.

Python's pickle writes it, so what a peer remembers needs no second description here. Reading is narrower than pickle's:
only classes that the packages of a simulated peer define can be named, and a handful of functions. Neither what these
packages import nor a method of anything else can, as each of them leads to files and to all that Python can do.
"""

from __future__ import annotations

import ctypes
import io
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import methodcaller
from typing import Any

import torch

from btard.errors import UserError
from btard.identity import IdentityKey
from btard.tensors import bytes_of

_PACKAGES = (
    "btard.agreement.",
    "btard.aggregation.",
    "btard.identity.envelope",
    "btard.identity.peer_id",
    "btard.lab.simulation.",
    "btard.round.",
    "btard.transport.memory",
    "btard.transport.vector_trainer",
    "btard.transport.virtual",
    "btard.vectors.",
    "btard.verification.",
)
_MODULES = {"btard.executor", "btard.exhibits", "btard.outline", "btard.vocabulary"}
_ELSEWHERE = {
    "builtins": {"bytearray", "dict", "float", "frozenset", "int", "list", "range", "set"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "functools": {"partial"},
    "random": {"Random"},
}
_FUNCTIONS = {
    "btard.identity.envelope": {"_prepared"},
    "btard.lab.simulation.snapshot": {"_caller", "_key", "_method", "_tensor", "_view"},
    "btard.round.failure.settlement": {"_has_signed", "_nobody"},
    "btard.transport.memory": {"_run_here"},
}
_DELIVERIES = {"receive", "receive_part"}
"""Methods of peers that the network calls when something arrives."""

_METHODS = (types.FunctionType, types.MethodDescriptorType)

_DEPTH = 50_000
"""Calls within calls: a swarm is a chain of what refers to each other, longer than Python expects."""


def frozen(content: object, outside: Mapping[str, object]) -> bytes:
    """Return the bytes of all that can be reached from `content`.

    Args:
        outside: objects that are no part of it, by names under which `thawed` finds others in their places.

    Raises:
        pickle.PicklingError, TypeError: something in it cannot be written.
    """
    written = io.BytesIO()
    with _deep():
        _Writer(written, outside).dump(content)
    return written.getvalue()


def thawed(data: bytes, outside: Mapping[str, object]) -> Any:
    """Return what `frozen` has written, as new objects.

    Raises:
        UserError: these are no such bytes, or name what a swarm does not have.
    """
    try:
        with _deep():
            return _Reader(io.BytesIO(data), outside).load()
    except UserError:
        raise
    except Exception as error:  # unpickling raises whatever the bytes lead to
        raise UserError(f"the state of the swarm cannot be read: {type(error).__name__}: {error}") from error


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, outside: Mapping[str, object]) -> None:
        super().__init__(file, protocol=5)
        self._outside = {id(value): name for name, value in outside.items()}
        self._kept = outside

    def persistent_id(self, obj: Any) -> str | None:
        return self._outside.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        match obj:
            case IdentityKey():
                return _key, (obj.seed,)
            case torch.Tensor():
                return _tensor, (bytearray(bytes_of(obj)), str(obj.dtype).removeprefix("torch."), tuple(obj.shape))
            case memoryview():
                return _reduced_view(obj)
            case methodcaller():
                reduced = obj.__reduce__()
                if reduced[0] is not methodcaller:
                    raise pickle.PicklingError("calls by keyword are not written")
                return _caller, reduced[1]
            case types.MethodType():
                return _method, (obj.__self__, obj.__func__.__name__)
            case types.BuiltinMethodType() if not isinstance(obj.__self__, types.ModuleType):
                return _method, (obj.__self__, obj.__name__)
        return NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, outside: Mapping[str, object]) -> None:
        super().__init__(file)
        self._outside = outside

    def persistent_load(self, pid: Any) -> Any:
        return self._outside[pid]

    def find_class(self, module: str, name: str) -> Any:
        if name in _FUNCTIONS.get(module, ()):
            return super().find_class(module, name)
        if _may_be_named(module, name):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise UserError(f"the state of a swarm names {module}.{name}, which no swarm is made of")


def _may_be_named(module: str, name: str) -> bool:
    """Whether a class of this name, if that is where it is defined, is one that a swarm is made of."""
    ours = module in _MODULES or module.startswith(_PACKAGES)
    return name in _ELSEWHERE.get(module, ()) or (ours and "." not in name)


@contextmanager
def _deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEPTH))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _key(seed: bytes) -> IdentityKey:
    return IdentityKey.from_seed(seed)


def _tensor(data: bytearray, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    kind = getattr(torch, dtype)
    if not isinstance(kind, torch.dtype):
        raise UserError(f"the state of a swarm has numbers of type {dtype}, which is none")
    return torch.frombuffer(data, dtype=kind).view(shape) if data else torch.empty(shape, dtype=kind)


def _caller(name: str, *given: object) -> methodcaller:
    if name not in _DELIVERIES:
        raise UserError(f"the state of a swarm calls {name}, which delivers nothing")
    return methodcaller(name, *given)


def _method(owner: object, name: str) -> Any:
    kind = type(owner)
    # A key signs, but saves itself, too.
    of_a_swarm = name == "sign" if kind is IdentityKey else _may_be_named(kind.__module__, kind.__qualname__)
    if "__" in name or not of_a_swarm or not isinstance(getattr(kind, name, None), _METHODS):
        raise UserError(f"the state of a swarm names {kind.__name__}.{name}, which is no method of a swarm")
    return getattr(owner, name)


def _view(memory: bytearray, start: int, length: int) -> memoryview:
    return memoryview(memory)[start : start + length]


def _reduced_view(view: memoryview) -> Any:
    """Keep which views share memory: what arrives in one of them is read through another."""
    memory = view.obj
    if not isinstance(memory, bytearray) or not view:
        return _view, (bytearray(view), 0, len(view))
    start = _address(view) - _address(memoryview(memory))
    return _view, (memory, start, len(view))


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
