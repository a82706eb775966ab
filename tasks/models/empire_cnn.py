"""The convolutional network of the CIFAR experiments (Xie et al., arXiv 1903.03936; El-Mhamdi et al., ICLR 2021)."""

from __future__ import annotations

from torch import nn

from btard.tasks.models.convolution import Convolution

_DROPPED = 0.25


def empire_cnn(channels: int, side: int, classes: int, *, width: int = 64) -> nn.Module:
    """Two pairs of convolutions, then a hidden layer: 1,310,922 parameters for CIFAR-10, 2,384,036 for CIFAR-100.

    The hidden layer has twice as many units as the first pair has channels, and four times for more than ten classes.

    Args:
        width: channels of the first pair, 64 as published; the second has twice as many.
    """
    hidden = 2 * width if classes <= 10 else 4 * width
    return nn.Sequential(
        *_pair(channels, width),
        *_pair(width, 2 * width),
        nn.Flatten(),
        nn.Linear(2 * width * (side // 4) ** 2, hidden),
        nn.ReLU(),
        nn.Dropout(_DROPPED),
        nn.Linear(hidden, classes),
        nn.LogSoftmax(1),
    )


def _pair(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        Convolution(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
        Convolution(outputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.Dropout(_DROPPED),
    ]
