"""Files in libsvm's form: a line for each row, its target and then `index:value` for what is not zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from btard.errors import UserError
from btard.tasks.data.bounded import read_bounded

_MOST_BYTES = 1 << 28
_MOST = float(np.finfo(np.float32).max)

Numbers = npt.NDArray[np.float32]


def read_libsvm(path: Path, features: int) -> tuple[Numbers, Numbers]:
    """Return inputs (n, features) and targets (n,); indices count from 1.

    Raises:
        UserError: it cannot be read, or a line has another form.
    """
    inputs: list[Numbers] = []
    targets: list[float] = []
    for number, line in enumerate(read_bounded(path, _MOST_BYTES).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            targets.append(_finite(words[0]))
            inputs.append(_row(words[1:], features))
        except ValueError:
            raise UserError(
                f"line {number} of {path} is no row of libsvm's form: a target, then INDEX:VALUE with indices from 1 "
                f"to {features}"
            ) from None
    if not inputs:
        raise UserError(f"{path} holds no rows")
    return np.stack(inputs), np.array(targets, dtype=np.float32)


def _row(words: list[bytes], features: int) -> Numbers:
    row = np.zeros(features, dtype=np.float32)
    for word in words:
        index, _, value = word.partition(b":")
        if not 1 <= int(index) <= features:
            raise ValueError("no such feature")
        row[int(index) - 1] = _finite(value)
    return row


def _finite(word: bytes) -> float:
    number = float(word)
    if not abs(number) <= _MOST:
        raise ValueError("no finite number")
    return number
