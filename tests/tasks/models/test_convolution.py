"""Convolutions with channels last compute what torch's own do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from btard.tasks.models.convolution import Convolution


def pair(inputs: int) -> tuple[Convolution, nn.Conv2d]:
    torch.manual_seed(0)
    ours, theirs = Convolution(inputs, 6, 3, padding=1), nn.Conv2d(inputs, 6, 3, padding=1)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("inputs", [1, 4])
def test_values_and_gradients_are_those_of_torch(inputs: int) -> None:
    ours, theirs = pair(inputs)
    images = torch.randn(5, inputs, 8, 8)
    torch.testing.assert_close(ours(images), theirs(images))
    for layer in (ours, theirs):
        layer(images).square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("inputs", [1, 4])
def test_the_output_has_its_channels_last(inputs: int) -> None:
    ours, theirs = pair(inputs)
    images = torch.randn(5, inputs, 8, 8)
    assert ours(images).is_contiguous(memory_format=torch.channels_last)
    assert theirs(images).is_contiguous()


def test_weights_lie_in_memory_as_those_of_torch() -> None:
    ours, theirs = pair(4)
    assert ours.weight.stride() == theirs.weight.stride()
    assert torch.equal(ours.weight.reshape(-1), theirs.weight.reshape(-1))


def test_many_workers_compute_in_one_go() -> None:
    ours, _ = pair(4)
    images = torch.randn(3, 5, 4, 8, 8)
    weights = {name: value.detach() for name, value in ours.named_parameters()}

    def loss(values: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional_call(ours, values, (batch,)).square().sum()
        return found

    together = vmap(grad(loss), in_dims=(None, 0))(weights, images)["weight"]
    alone = torch.stack([grad(loss)(weights, batch)["weight"] for batch in images])
    torch.testing.assert_close(together, alone)
