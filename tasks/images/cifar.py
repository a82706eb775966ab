"""CIFAR-10 and CIFAR-100 in their binary form: records of labels and 3,072 bytes of red, green and blue.

The form for Python is pickled, and a pickle may run a program: it is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from btard.errors import UserError
from btard.tasks.data.bounded import read_bounded
from btard.tasks.images.image_set import ImageSet, LabelledImages, labelled

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_MOST_RECORDS = 100_000


@dataclass(frozen=True)
class CifarForm:
    """One of the two data sets.

    Attributes:
        classes: how many.
        label_bytes: before each image; the last one is the label.
        training, held_out: names of the files.
        folder: in which the published archive has them.
        pickled: a file that the form for Python has.
    """

    classes: int
    label_bytes: int
    training: tuple[str, ...]
    held_out: str
    folder: str
    pickled: str


CIFAR_10 = CifarForm(
    10, 1, tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "cifar-10-batches-bin", "data_batch_1"
)
CIFAR_100 = CifarForm(100, 2, ("train.bin",), "test.bin", "cifar-100-binary", "train")


def read_cifar(folder: Path, form: CifarForm) -> ImageSet:
    """Return the data set of a folder, or of the folder in it that the published archive has.

    Raises:
        UserError: a file is missing or damaged, or the folder has the form for Python.
    """
    inside = folder / form.folder
    where = inside if inside.is_dir() else folder
    parts = [_records(where, name, form) for name in form.training]
    training = LabelledImages(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
    )
    return ImageSet(training, _records(where, form.held_out, form), form.classes)


def _records(folder: Path, name: str, form: CifarForm) -> LabelledImages:
    path = folder / name
    if not path.is_file():
        if any(
            (place / form.pickled).is_file()
            for place in (folder, *folder.glob("cifar-*-py*"), *folder.glob("cifar-100-python"))
        ):
            raise UserError(
                f"{folder} has the form of CIFAR for Python, which is pickled and may run programs; take the binary "
                f"version, whose archive holds {name}"
            )
        raise UserError(f"{folder} holds no {name}; give the folder that the archive of the binary version unpacks to")
    length = form.label_bytes + _PIXELS
    data = read_bounded(path, _MOST_RECORDS * length)
    if len(data) % length:
        raise UserError(f"{path} is damaged: {len(data):,} bytes are no whole number of records of {length:,}")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, length)
    images = records[:, form.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
    return labelled(images, records[:, form.label_bytes - 1], form.classes, path)
