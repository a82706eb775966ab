"""The published networks have as many parameters as published, or as their formula says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from btard.errors import UserError
from btard.tasks.models.named import ImageModel, image_model
from btard.tasks.models.residual import wide_resnet
from btard.tasks.models.simples import simples_linear, simples_logit


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def convolution(inputs: int, outputs: int, size: int) -> int:
    return inputs * outputs * size * size


def resnet18_count(channels: int, classes: int) -> int:
    total, width = convolution(channels, 64, 3) + 2 * 64, 64
    for outputs in (64, 128, 256, 512):
        total += convolution(width, outputs, 3) + 3 * convolution(outputs, outputs, 3) + 4 * 2 * outputs
        total += convolution(width, outputs, 1) + 2 * outputs if width != outputs else 0
        width = outputs
    return total + (width + 1) * classes


def wide_resnet_count(channels: int, classes: int, depth: int, widening: int) -> int:
    total, width, blocks = convolution(channels, 16, 3), 16, (depth - 4) // 6
    for stage in (16, 32, 64):
        outputs = stage * widening
        for _ in range(blocks):
            total += 2 * width + convolution(width, outputs, 3) + 2 * outputs + convolution(outputs, outputs, 3)
            total += convolution(width, outputs, 1) if width != outputs else 0
            width = outputs
    return total + 2 * width + (width + 1) * classes


@pytest.mark.parametrize(
    ("name", "channels", "side", "classes", "parameters"),
    [
        (ImageModel.SIMPLES_FULL, 1, 28, 10, 79_510),
        (ImageModel.SIMPLES_CONV, 1, 28, 10, 431_080),
        (ImageModel.LOGISTIC, 1, 28, 10, 7_850),
        (ImageModel.MNIST_NET, 1, 28, 10, 21_840),
        (ImageModel.EMPIRE_CNN, 3, 32, 10, 1_310_922),
        (ImageModel.EMPIRE_CNN, 3, 32, 100, 2_384_036),
        (ImageModel.NARROW_CNN, 1, 28, 10, 16_978),
        (ImageModel.RESNET18, 3, 32, 10, 11_173_962),
        (ImageModel.RESNET18, 3, 32, 100, resnet18_count(3, 100)),
        (ImageModel.WRN_28_10, 3, 32, 10, 36_479_194),
        (ImageModel.WRN_28_10, 3, 32, 100, wide_resnet_count(3, 100, 28, 10)),
    ],
)
def test_parameters(name: ImageModel, channels: int, side: int, classes: int, parameters: int) -> None:
    model = image_model(name, channels, side, classes)
    assert count(model) == parameters


def test_the_formulas_give_the_published_counts() -> None:
    assert resnet18_count(3, 10) == 11_173_962
    assert wide_resnet_count(3, 10, 28, 10) == 36_479_194


def test_regressions_have_a_weight_for_each_number() -> None:
    assert [count(made(68)) for made in (simples_logit, simples_linear)] == [69, 69]
    assert bool((simples_logit(4)(torch.randn(9, 4)) > 0).all())


@pytest.mark.parametrize("name", [name for name in ImageModel if name is not ImageModel.WRN_28_10])
def test_models_give_log_probabilities(name: ImageModel) -> None:
    outputs = image_model(name, 1, 16, 7).eval()(torch.randn(2, 1, 16, 16))
    assert outputs.shape == (2, 7)
    torch.testing.assert_close(outputs.exp().sum(1), torch.ones(2))


def test_a_wide_network_halves_the_side_twice() -> None:
    model = wide_resnet(3, 5, depth=10, widening=1)
    assert isinstance(model, nn.Sequential)
    inner = model[:-4](torch.randn(2, 3, 32, 32))
    assert inner.shape == (2, 64, 8, 8)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert count(model) == wide_resnet_count(3, 5, 10, 1)


def test_every_parameter_takes_part() -> None:
    for name in (ImageModel.RESNET18, ImageModel.EMPIRE_CNN, ImageModel.MNIST_NET):
        model = image_model(name, 1, 16, 3)
        model(torch.randn(4, 1, 16, 16)).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="simples_conv needs images of at least 16 x 16, these have 8 x 8"):
        image_model(ImageModel.SIMPLES_CONV, 1, 8, 10)
