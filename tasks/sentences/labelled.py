"""Sentences, or pairs of them, with a class each: the published sets, and one that comes with this package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from btard.errors import UserError
from btard.tasks.data.hub import HubAccess
from btard.tasks.data.sources import open_rows, shakespeare_files
from btard.tasks.data.spec import DataSpec, SourceKind


class SentenceSet(StrEnum):
    """Which columns hold what, and how many classes there are."""

    PLAYS = "plays"
    """Passages of Shakespeare: 0 of a comedy, 1 of a tragedy."""
    COLA = "cola"
    SST2 = "sst2"
    MRPC = "mrpc"
    QQP = "qqp"
    MNLI = "mnli"
    QNLI = "qnli"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of text of a published set; its classes are in the column `label`."""
        return _COLUMNS[self]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return 3 if self is SentenceSet.MNLI else 2


_COLUMNS: dict[SentenceSet, tuple[str, ...]] = {
    SentenceSet.COLA: ("sentence",),
    SentenceSet.SST2: ("sentence",),
    SentenceSet.MRPC: ("sentence1", "sentence2"),
    SentenceSet.QQP: ("question1", "question2"),
    SentenceSet.MNLI: ("premise", "hypothesis"),
    SentenceSet.QNLI: ("question", "sentence"),
}

_PASSAGE_CHARACTERS = 240
_COMEDIES = (
    "alls_well",
    "as_you_like_it",
    "comedy_of_errors",
    "loves_labours",
    "measure_for",
    "merchant_of",
    "merry_wives",
    "midsummer",
    "much_ado",
    "taming",
    "tempest",
    "twelfth",
    "two_gentlemen",
    "winters_tale",
)
_TRAGEDIES = (
    "antony",
    "coriolanus",
    "hamlet",
    "julius",
    "lear",
    "macbeth",
    "othello",
    "romeo",
    "timon",
    "tragedy_of_titus",
    "troilus",
)


@dataclass(frozen=True)
class Labelled:
    """A set, in memory.

    Attributes:
        texts: of each sample one or two.
        labels: int64, (samples,), from 0.
    """

    texts: list[tuple[str, ...]]
    labels: npt.NDArray[np.int64]


def read_labelled(which: SentenceSet, spec: DataSpec, access: HubAccess | None = None) -> Labelled:
    """Return all samples that have a class, in the order of the source.

    Raises:
        UserError: the source does not belong to the set, cannot be had, or has too few samples.
    """
    if which is SentenceSet.PLAYS:
        if spec.kind is not SourceKind.BUILTIN:
            raise UserError(f"data=plays is built in; for {spec.location} say which set it is, as sentences:data=sst2")
        rows = list(_passages())
    else:
        rows = list(_rows(which, spec, access))
    if len(rows) < 2:
        raise UserError(f"{spec.location} has {len(rows)} samples with a class; two are the least")
    return Labelled([texts for texts, _ in rows], np.array([label for _, label in rows], dtype=np.int64))


def _passages() -> Iterator[tuple[tuple[str, ...], int]]:
    for file in shakespeare_files():
        name = file.name
        if not name.startswith(_COMEDIES + _TRAGEDIES):
            continue
        label = int(name.startswith(_TRAGEDIES))
        passage = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            passage += line.strip() + " "
            if len(passage) >= _PASSAGE_CHARACTERS:
                yield (passage.strip(),), label
                passage = ""


def _rows(which: SentenceSet, spec: DataSpec, access: HubAccess | None) -> Iterator[tuple[tuple[str, ...], int]]:
    if spec.kind is SourceKind.BUILTIN:
        raise UserError(f"data={which} is not built in; name its source: a file, a folder, or hub:nyu-mll/glue:{which}")
    rows = open_rows(spec, access)
    missing = [name for name in (*which.columns, "label") if name not in rows.column_names]
    if missing:
        raise UserError(f"{spec.location} has no column {missing[0]!r}, as {which} has; it has {rows.column_names}")
    for number, row in enumerate(rows.select_columns([*which.columns, "label"]), 1):
        texts = tuple(row[name] for name in which.columns)
        label = _label(row["label"])
        if label is not None and label < which.classes and all(isinstance(text, str) for text in texts):
            if label >= 0:  # a test part says -1
                yield texts, label
            continue
        raise UserError(
            f"row {number} of {spec.location} must have text in {', '.join(which.columns)}, and a class below "
            f"{which.classes} in label"
        )


def _label(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None
