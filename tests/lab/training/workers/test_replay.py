from __future__ import annotations

import pytest
import torch
from torch.func import grad_and_value, vmap

from btard.lab.training.workers import replay as module
from btard.lab.training.workers.replay import Function, Made, Repeated, Tensors

CALLS = 20


class Counted:
    """A loss whose gradients are computed for many workers at once, and how often Python has computed it."""

    def __init__(self, drift: float = 0.0, noise: float = 0.0) -> None:
        self.calls, self._drift, self._noise = 0, drift, noise

    def loss(self, weights: Tensors, tensors: Tensors) -> torch.Tensor:
        self.calls += 1
        shift = self._drift * self.calls + self._noise * torch.rand(())
        return (torch.tanh(tensors["x"] @ weights["w"]) + shift).square().mean()

    def function(self) -> Function:
        made: Function = vmap(grad_and_value(self.loss), in_dims=(None, 0), randomness="different")
        return made


def given(seed: int, samples: int = 5) -> tuple[Tensors, Tensors]:
    draws = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(4, 3, generator=draws)}, {"x": torch.randn(6, samples, 4, generator=draws)}


def equal(one: Made, other: Made) -> bool:
    return torch.equal(one[0]["w"], other[0]["w"]) and torch.equal(one[1], other[1])


def test_a_recording_gives_the_same_bits() -> None:
    counted = Counted()
    replay, plain = Repeated(counted.function()), Counted().function()
    assert all(equal(replay(*given(seed)), plain(*given(seed))) for seed in range(CALLS))
    before = counted.calls
    assert equal(replay(*given(CALLS)), plain(*given(CALLS)))
    assert counted.calls == before, "Python computes nothing any more"


def test_each_form_has_a_recording_of_its_own() -> None:
    counted = Counted()
    replay, plain = Repeated(counted.function()), Counted().function()
    for samples in (5, 7):
        for seed in range(CALLS):
            assert equal(replay(*given(seed, samples)), plain(*given(seed, samples)))
    assert len(replay.recordings) == 2


def test_a_function_that_changes_is_not_replayed() -> None:
    for counted in (Counted(drift=1.0), Counted(noise=1.0)):
        replay = Repeated(counted.function())
        for seed in range(CALLS):
            replay(*given(seed))
        before = counted.calls
        replay(*given(CALLS))
        assert counted.calls == before + 1 and list(replay.recordings.values()) == [None]


def test_what_cannot_be_recorded_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Function) -> Function:
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(module, "make_fx", refuse)
    replay, plain = Repeated(Counted().function()), Counted().function()
    assert all(equal(replay(*given(seed)), plain(*given(seed))) for seed in range(CALLS))
    assert list(replay.recordings.values()) == [None]
