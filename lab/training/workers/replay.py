"""The operations of a vectorised function, recorded once and repeated without what decides on them.

`torch.func` works out in every call which operations its transforms come to. For a net of two layers that takes as long
as a third of the operations themselves, and keeps memory longer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx.experimental.proxy_tensor import make_fx

Tensors = dict[str, torch.Tensor]
Made = tuple[Tensors, torch.Tensor]
Function = Callable[[Tensors, Tensors], Made]

_RECORDED_AFTER = 16
"""Calls after which it pays to record: that takes about a hundred times what it saves in a call."""


class Repeated:
    """A function of tensors by name that does in every call what it does in the others, called by its recording.

    A recording repeats operations, and nothing that Python does between them. One that does not give the same bits as
    the function for other tensors, as where the function counts its calls or draws numbers, is not used.

    Attributes:
        recordings: what has been recorded so far, by the form of the tensors; None where it is not used.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._calls: dict[object, int] = {}
        self.recordings: dict[object, Function | None] = {}

    def __call__(self, weights: Tensors, tensors: Tensors) -> Made:
        """Return what the function does."""
        form = _form(weights), _form(tensors)
        calls = self._calls[form] = self._calls.get(form, 0) + 1
        if calls <= _RECORDED_AFTER + 1:
            return self._watched(form, calls, weights, tensors)
        recording = self.recordings[form]
        if recording is None:
            return self._function(weights, tensors)
        with torch.no_grad():
            return recording(weights, tensors)

    def _watched(self, form: object, calls: int, weights: Tensors, tensors: Tensors) -> Made:
        """Call the function; record it in one call, and compare it with its recording in the next one."""
        made = self._function(weights, tensors)
        if calls == _RECORDED_AFTER:
            self.recordings[form] = self._recorded(weights, tensors)
        recording = self.recordings.get(form)
        if recording is not None and calls > _RECORDED_AFTER:
            with torch.no_grad():
                again = recording(weights, tensors)
            if not (_same(made[0], again[0]) and torch.equal(made[1], again[1])):
                self.recordings[form] = None
        return made

    def _recorded(self, weights: Tensors, tensors: Tensors) -> Function | None:
        try:
            recording: Function = make_fx(lambda *given: self._function(*given))(weights, tensors)
        except Exception:  # what torch cannot follow can be anything, and is called as before
            return None
        return recording


def _form(tensors: Tensors) -> object:
    return tuple((name, one.shape, one.stride(), one.dtype, one.device) for name, one in tensors.items())


def _same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
