"""Rows of numbers by name: where each data set is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.regression.libsvm import Numbers, read_libsvm

_PHISHING_FEATURES = 68
_PHISHING_TRAINED = 8400
"""Rows that are trained on, the first ones; the others are held out, as published."""


class RegressionData(StrEnum):
    """Which rows."""

    BREAST_CANCER = "breast_cancer"
    """569 rows of 30 numbers and two classes, which scikit-learn brings."""
    DIABETES = "diabetes"
    """442 rows of 10 numbers and a number, which scikit-learn brings."""
    PHISHING = "phishing"
    """11,055 rows of 68 numbers and two classes, a file in libsvm's form."""


@dataclass(frozen=True)
class RowSet:
    """Rows to train on and rows that are held out.

    Attributes:
        inputs: (n, features).
        targets: (n,), in [0, 1].
        held_out: (n,), which rows.
        classes: whether targets are 0 or 1 only.
    """

    inputs: Numbers
    targets: Numbers
    held_out: npt.NDArray[np.bool_]
    classes: bool

    def fingerprint(self) -> str:
        """Return hex BLAKE3 of all numbers."""
        parts = (self.inputs.astype("<f4"), self.targets.astype("<f4"), self.held_out)
        return blake3(b"btard rows 1" + b"".join(part.tobytes() for part in parts)).hexdigest()


def load_rows(name: RegressionData, source: DataSpec) -> RowSet:
    """Return a data set.

    Args:
        source: the file that the owner of this machine names, or the built-in place.

    Raises:
        UserError: it is not there, or damaged.
    """
    own = source.kind is not SourceKind.BUILTIN
    if source.tokenizer is not None or source.kind is SourceKind.HUB or (own and name is not RegressionData.PHISHING):
        raise UserError(f"the data set {name.value} has no tokenizer, and only phishing is read from a file, by --data")
    match name:
        case RegressionData.BREAST_CANCER:
            from sklearn.datasets import load_breast_cancer

            return _fifths(*load_breast_cancer(return_X_y=True), classes=True)
        case RegressionData.DIABETES:
            from sklearn.datasets import load_diabetes

            return _fifths(*load_diabetes(return_X_y=True, scaled=False), classes=False)
        case RegressionData.PHISHING:
            if not own:
                raise UserError("phishing is in no package; give the file in libsvm's form by --data")
            return _phishing(Path(source.location))


def _phishing(path: Path) -> RowSet:
    inputs, targets = read_libsvm(path, _PHISHING_FEATURES)
    if len(inputs) <= _PHISHING_TRAINED:
        raise UserError(f"{path} has {len(inputs):,} rows, but phishing has more than {_PHISHING_TRAINED:,}")
    if set(np.unique(targets).tolist()) not in ({0.0, 1.0}, {-1.0, 1.0}):
        raise UserError(f"the targets in {path} must be 0 and 1, or -1 and 1")
    held_out = np.arange(len(inputs)) >= _PHISHING_TRAINED
    return RowSet(inputs, (targets > 0).astype(np.float32), held_out, classes=True)


def _fifths(inputs: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], *, classes: bool) -> RowSet:
    held_out = np.arange(len(inputs)) % 5 == 0
    return RowSet(_unit_range(inputs), _unit_range(np.asarray(targets, np.float64)), held_out, classes)


def _unit_range(numbers: npt.NDArray[np.float64]) -> Numbers:
    """Stretch each column to [0, 1] by operations that every machine rounds alike."""
    low, high = numbers.min(0), numbers.max(0)
    return ((numbers - low) / (high - low)).astype(np.float32)
