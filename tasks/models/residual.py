"""Residual networks for images of 32 x 32: ResNet-18 (He et al., arXiv 1512.03385) and wide ones (Zagoruyko,
Komodakis, arXiv 1605.07146)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class _Basic(nn.Module):
    """Two convolutions and a shortcut around them, normalised after each convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride)
        self.norm_first = nn.BatchNorm2d(outputs)
        self.second = _convolution(outputs, outputs, 3)
        self.norm_second = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        inner = functional.relu(self.norm_first(self.first(images)))
        return functional.relu(self.norm_second(self.second(inner)) + self.shortcut(images))


class _Wide(nn.Module):
    """Two convolutions, each behind a normalisation, with dropout between them, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm_first = nn.BatchNorm2d(inputs)
        self.first = _convolution(inputs, outputs, 3)
        self.dropout = nn.Dropout(dropout)
        self.norm_second = nn.BatchNorm2d(outputs)
        self.second = _convolution(outputs, outputs, 3, stride)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _convolution(inputs, outputs, 1, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        inner = self.dropout(self.first(functional.relu(self.norm_first(images))))
        turned: torch.Tensor = self.second(functional.relu(self.norm_second(inner)))
        return turned + self.shortcut(images)


class _Averaged(nn.Module):
    """The mean over the places of an image; unlike torch's pooling layer it repeats its gradients on every device."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) to (n, c)."""
        return images.mean((2, 3))


def resnet18(channels: int, classes: int) -> nn.Module:
    """ResNet-18 with a first convolution of 3 x 3: 11,173,962 parameters for CIFAR-10."""
    layers: list[nn.Module] = [_convolution(channels, 64, 3), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_Basic(width, outputs, stride), _Basic(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(*layers, _Averaged(), nn.Linear(width, classes), nn.LogSoftmax(1))


def wide_resnet(channels: int, classes: int, *, depth: int = 28, widening: int = 10, dropout: float = 0.3) -> nn.Module:
    """WRN-depth-widening, depth = 6 b + 4: 36,479,194 parameters for WRN-28-10 and CIFAR-10."""
    blocks, width = (depth - 4) // 6, 16
    layers: list[nn.Module] = [_convolution(channels, width, 3)]
    for outputs, stride in ((16 * widening, 1), (32 * widening, 2), (64 * widening, 2)):
        for number in range(blocks):
            layers.append(_Wide(width, outputs, stride if number == 0 else 1, dropout))
            width = outputs
    ending = [nn.BatchNorm2d(width), nn.ReLU(), _Averaged(), nn.Linear(width, classes), nn.LogSoftmax(1)]
    return nn.Sequential(*layers, *ending)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the side, but for the stride."""
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
