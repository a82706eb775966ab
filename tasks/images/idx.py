"""The idx files of MNIST and Fashion-MNIST: a header of big-endian numbers, then bytes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from btard.errors import UserError
from btard.tasks.data.bounded import find_file, read_bounded
from btard.tasks.images.image_set import ImageSet, LabelledImages, labelled

CLASSES = 10
_BYTES = 8
_MOST_BYTES = 1 << 28


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Return the array of bytes of an idx file, which may be packed by gzip.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    data = read_bounded(path, _MOST_BYTES)
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, _BYTES, dimensions]):
        raise UserError(f"{path} is no idx file of bytes with {dimensions} dimensions")
    shape = tuple(int(size) for size in np.frombuffer(data[4:header], dtype=">u4"))
    if len(data) - header != math.prod(shape):
        raise UserError(f"{path} is damaged: it says {shape} and holds {len(data) - header:,} bytes")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def read_idx_set(folder: Path) -> ImageSet:
    """Return the data set of a folder with the four files of MNIST's names.

    Raises:
        UserError: one is missing or damaged.
    """
    training, held_out = (_part(folder, name) for name in ("train", "t10k"))
    if training.images.shape[1:] != held_out.images.shape[1:]:
        raise UserError(f"the images in {folder} to train on and to test on differ in size")
    return ImageSet(training, held_out, CLASSES)


def _part(folder: Path, name: str) -> LabelledImages:
    images = read_idx(_find(folder, f"{name}-images", "idx3-ubyte"), 3)
    labels = read_idx(_find(folder, f"{name}-labels", "idx1-ubyte"), 1)
    if images.shape[1] != images.shape[2]:
        raise UserError(f"the images in {folder} are {images.shape[1]} x {images.shape[2]}, but must be square")
    return labelled(images[:, None], labels, CLASSES, folder)


def _find(folder: Path, stem: str, kind: str) -> Path:
    return find_file(folder, (f"{stem}-{kind}.gz", f"{stem}-{kind}", f"{stem}.{kind}.gz", f"{stem}.{kind}"))
