"""A data set of labelled images in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from btard.errors import UserError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images: (n, channels, side, side).
        labels: (n,), in [0, classes).
    """

    images: Pixels
    labels: Labels


@dataclass(frozen=True)
class ImageSet:
    """What is trained on, and what is held out."""

    training: LabelledImages
    held_out: LabelledImages
    classes: int

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colours."""
        return int(self.training.images.shape[1])

    @property
    def side(self) -> int:
        """Pixels a side."""
        return int(self.training.images.shape[2])

    def fingerprint(self) -> str:
        """Return hex BLAKE3 of all pixels and labels."""
        digest = blake3(b"btard images 1")
        for part in (self.training, self.held_out):
            digest.update(str(part.images.shape).encode())
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(part.labels.astype("<i8").tobytes())
        return digest.hexdigest()


def labelled(images: Pixels, labels: npt.ArrayLike, classes: int, where: object) -> LabelledImages:
    """Return images with their labels.

    Args:
        where: the files come from, for the sentence.

    Raises:
        UserError: there are none, not as many labels as images, or one is no class.
    """
    numbers = np.asarray(labels, dtype=np.int64)
    if len(images) == 0 or len(images) != len(numbers):
        raise UserError(f"{where} has {len(images)} images and {len(numbers)} labels, but must have as many, and some")
    if numbers.min() < 0 or numbers.max() >= classes:
        raise UserError(f"{where} has the label {numbers.max()}, but must have labels from 0 to {classes - 1}")
    return LabelledImages(images, numbers)


def every_fifth_held_out(whole: LabelledImages, classes: int) -> ImageSet:
    """Split data that come in one piece."""
    out = np.arange(len(whole.labels)) % 5 == 0
    return ImageSet(
        LabelledImages(whole.images[~out], whole.labels[~out]),
        LabelledImages(whole.images[out], whole.labels[out]),
        classes,
    )
