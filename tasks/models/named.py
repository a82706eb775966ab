"""The networks for images by name."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from btard.errors import UserError

if TYPE_CHECKING:
    from torch import nn


class ImageModel(StrEnum):
    """What is trained on images."""

    SIMPLES_FULL = "simples_full"
    SIMPLES_CONV = "simples_conv"
    LOGISTIC = "logistic"
    MNIST_NET = "mnist_net"
    EMPIRE_CNN = "empire_cnn"
    NARROW_CNN = "narrow_cnn"
    RESNET18 = "resnet18"
    WRN_28_10 = "wrn_28_10"


_NARROW = 8
"""Channels of the first convolutions in the network that two processor cores train among 25 workers."""

_SMALLEST_SIDE = {
    ImageModel.SIMPLES_CONV: 16,
    ImageModel.MNIST_NET: 16,
    ImageModel.EMPIRE_CNN: 4,
    ImageModel.NARROW_CNN: 4,
    ImageModel.RESNET18: 8,
    ImageModel.WRN_28_10: 4,
}


def check_side(name: ImageModel, side: int) -> None:
    """Raise a UserError where images are too small for a model."""
    least = _SMALLEST_SIDE.get(name, 1)
    if side < least:
        raise UserError(
            f"the model {name.value} needs images of at least {least} x {least}, these have {side} x {side}"
        )


def image_model(name: ImageModel, channels: int, side: int, classes: int) -> nn.Module:
    """Return a new network from (n, channels, side, side) to log-probabilities (n, classes).

    Raises:
        UserError: the images are too small for it.
    """
    from btard.tasks.models.empire_cnn import empire_cnn
    from btard.tasks.models.mnist_net import mnist_net
    from btard.tasks.models.residual import resnet18, wide_resnet
    from btard.tasks.models.simples import simples_conv, simples_full, softmax_regression

    check_side(name, side)
    inputs = channels * side * side
    match name:
        case ImageModel.SIMPLES_FULL:
            return simples_full(inputs, classes)
        case ImageModel.SIMPLES_CONV:
            return simples_conv(channels, side, classes)
        case ImageModel.LOGISTIC:
            return softmax_regression(inputs, classes)
        case ImageModel.MNIST_NET:
            return mnist_net(channels, side, classes)
        case ImageModel.EMPIRE_CNN:
            return empire_cnn(channels, side, classes)
        case ImageModel.NARROW_CNN:
            return empire_cnn(channels, side, classes, width=_NARROW)
        case ImageModel.RESNET18:
            return resnet18(channels, classes)
        case ImageModel.WRN_28_10:
            return wide_resnet(channels, classes)
