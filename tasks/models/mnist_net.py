"""The network of the MNIST experiments with BTARD on one device."""

from __future__ import annotations

from torch import nn

from btard.tasks.models.convolution import Convolution


def mnist_net(channels: int, side: int, classes: int) -> nn.Module:
    """Two convolutions of 5 x 5, dropout of whole channels, a hidden layer of 50: 21,840 parameters for MNIST."""
    left = ((side - 4) // 2 - 4) // 2
    return nn.Sequential(
        Convolution(channels, 10, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        Convolution(10, 20, 5),
        nn.Dropout2d(0.5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(20 * left * left, 50),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(50, classes),
        nn.LogSoftmax(1),
    )
