"""The small networks of the distributed momentum experiments (El-Mhamdi, Guerraoui, Rouault, ICLR 2021)."""

from __future__ import annotations

from torch import nn

from btard.tasks.models.convolution import Convolution

HIDDEN = 100


def simples_full(inputs: int, classes: int) -> nn.Module:
    """One hidden layer of 100: 79,510 parameters for 784 inputs and 10 classes."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes), nn.LogSoftmax(1)
    )


def simples_conv(channels: int, side: int, classes: int) -> nn.Module:
    """Two convolutions of 5 x 5 with pooling, then 500 and the classes: 431,080 parameters for 28 x 28 and 10."""
    left = ((side - 4) // 2 - 4) // 2
    return nn.Sequential(
        Convolution(channels, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Convolution(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * left * left, 500),
        nn.ReLU(),
        nn.Linear(500, classes),
        nn.LogSoftmax(1),
    )


def softmax_regression(inputs: int, classes: int) -> nn.Module:
    """Logistic regression with a class each: inputs x classes weights, and a bias each."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes), nn.LogSoftmax(1))


def simples_logit(inputs: int, outputs: int = 1) -> nn.Module:
    """Logistic regression: a linear layer and a sigmoid."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.Sigmoid())


def simples_linear(inputs: int, outputs: int = 1) -> nn.Module:
    """Linear regression."""
    return nn.Linear(inputs, outputs)
