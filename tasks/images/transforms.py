"""What is done to images before a model sees them: flips and shifts that a seed decides, then normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from btard.tasks.images.sets import ImageData
from btard.tasks.randomness import SeededDraws, joint_integers

if TYPE_CHECKING:
    import torch

_MARGIN = 4
"""Pixels that an image may be shifted by, to either side; what comes in is black."""

_CACHED_PLACES = 131072
"""Bytes that are looked up at once."""


class Transform(StrEnum):
    """What is done to images; all are scaled to [0, 1] first."""

    PUBLISHED = "published"
    """What the published experiments do to the data set."""
    NONE = "none"
    NORMALISE = "normalise"
    """Mean 0 and deviation 1 over the training images, channel by channel."""
    FLIP = "flip"
    """Half of the images are mirrored, left to right."""
    FLIP_NORMALISE = "flip_normalise"
    CROP_FLIP_NORMALISE = "crop_flip_normalise"
    """Also shifted by up to 4 pixels."""


@dataclass(frozen=True)
class Steps:
    """What a transform consists of."""

    crop: bool = False
    flip: bool = False
    normalise: bool = False


_STEPS = {
    Transform.NONE: Steps(),
    Transform.NORMALISE: Steps(normalise=True),
    Transform.FLIP: Steps(flip=True),
    Transform.FLIP_NORMALISE: Steps(flip=True, normalise=True),
    Transform.CROP_FLIP_NORMALISE: Steps(crop=True, flip=True, normalise=True),
}

_PUBLISHED = {
    ImageData.DIGITS: Transform.NONE,
    ImageData.MNIST_5K: Transform.NORMALISE,
    ImageData.MNIST: Transform.NORMALISE,
    ImageData.FASHION_MNIST: Transform.FLIP,
    ImageData.CIFAR10: Transform.FLIP_NORMALISE,
    ImageData.CIFAR100: Transform.FLIP_NORMALISE,
}

_MNIST = ((0.1307,), (0.3081,))
_NORMS = {
    ImageData.DIGITS: ((0.3053,), (0.3762,)),
    ImageData.MNIST_5K: _MNIST,
    ImageData.MNIST: _MNIST,
    ImageData.FASHION_MNIST: ((0.2860,), (0.3530,)),
    ImageData.CIFAR10: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ImageData.CIFAR100: ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
"""Mean and deviation of each channel: constants, so that every machine has the same to the last bit."""


def steps_of(transform: Transform, data: ImageData) -> Steps:
    """Return what a transform does to a data set."""
    return _STEPS[_PUBLISHED[data] if transform is Transform.PUBLISHED else transform]


def value_table(data: ImageData, normalise: bool) -> torch.Tensor:
    """Return what each byte of each channel stands for: (channels, 256) float32.

    A table, computed in double precision, has the same bits everywhere; a division on another device may not.
    """
    import torch

    means, deviations = _NORMS[data]
    scaled = np.arange(256) / 255.0
    if not normalise:
        return torch.from_numpy(np.tile(scaled.astype(np.float32), (len(means), 1)))
    rows = [((scaled - mean) / deviation).astype(np.float32) for mean, deviation in zip(means, deviations, strict=True)]
    return torch.from_numpy(np.stack(rows))


def moved(images: torch.Tensor, steps: Steps, draws: Sequence[SeededDraws]) -> torch.Tensor:
    """Return images (n, channels, side, side), uint8, shifted and mirrored: an equal part by each of the draws."""
    if steps.crop:
        images = _shifted(images, draws)
    if steps.flip:
        mirrored = joint_integers(draws, "flips", len(images), 2).astype(bool)
        images = images.clone()
        # NumPy writes them over four times as fast as torch does.
        pixels = images.numpy()
        pixels[mirrored] = pixels[mirrored][..., ::-1]
    return images


def _shifted(images: torch.Tensor, draws: Sequence[SeededDraws]) -> torch.Tensor:
    import torch

    n, _, side, _ = images.shape
    padded = torch.nn.functional.pad(images, (_MARGIN,) * 4)
    places = torch.arange(side)
    down, right = (
        torch.from_numpy(joint_integers(draws, label, n, 2 * _MARGIN + 1))[:, None] + places
        for label in ("down", "right")
    )
    chosen = torch.arange(n)[:, None, None]
    # Indices apart from each other put the channels last.
    return padded[chosen, :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)


def valued(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return (n, channels, side, side) float32 of bytes."""
    import torch

    # Places in the flat table, 32 bits each: three to six times as fast as indexing by channel and byte.
    starts = torch.arange(0, table.numel(), table.shape[1], dtype=torch.int32)[:, None, None]
    values = torch.empty(images.shape)
    at_once = max(1, _CACHED_PLACES // math.prod(images.shape[1:]))
    for some, into in zip(images.split(at_once), values.split(at_once), strict=True):
        places = some.int().add_(starts).reshape(-1)
        torch.index_select(table.view(-1), 0, places, out=into.view(-1))
    return values
