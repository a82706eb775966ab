"""What the columns of a row hold: text or tokens of the right type, or a sentence that names the row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from btard.errors import UserError

TEXT = "text"
TOKENS = "input_ids"
SEGMENTS = "token_type_ids"
SWAPPED = "sentence_order_label"

_KINDS = {bool: "a truth value", int: "a number", float: "a number", bytes: "bytes", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A document that is tokenised already.

    Attributes:
        segments: token numbers of its one or two segments, int64, in the document's order, marks included.
    """

    segments: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def text_of(row: Mapping[str, Any], number: int, described_as: str) -> str | None:
    """Return the text of a row, without the blanks around it; None for null, and for blanks alone.

    Args:
        number: of the row, from 1, for the sentence.
        described_as: the data set, for the sentence.

    Raises:
        UserError: there is no such column in this row, or it holds something else than text, or what is no Unicode
            text.
    """
    value = _of(row, TEXT, number, described_as)
    if value is None:
        return None
    if not isinstance(value, str):
        kind = _KINDS.get(type(value), type(value).__name__)
        raise UserError(
            f"row {number} of {described_as} has {kind} in the column {TEXT!r}, which must hold text or null; choose "
            "another data set, or convert the column"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"row {number} of {described_as} has half of a surrogate pair in the column {TEXT!r}, which is no Unicode "
            "text; leave the row out"
        ) from None
    return value.strip() or None


def tokens_of(row: Mapping[str, Any], number: int, described_as: str) -> TokenRow | None:
    """Return the tokens of a row in one or two segments, in the document's order; None for null.

    Where a row has two segments (`token_type_ids`) that were swapped (`sentence_order_label` 1), they are put back in
    order, because the batches' seeds decide about swaps.

    Raises:
        UserError: there are none in this row, a column holds something else than whole numbers, or the columns do not
            fit together.
    """
    if _of(row, TOKENS, number, described_as) is None:
        return None
    tokens = _numbers(row, TOKENS, number, described_as)
    kinds = np.zeros_like(tokens) if row.get(SEGMENTS) is None else _numbers(row, SEGMENTS, number, described_as)
    if kinds.shape != tokens.shape or not np.isin(kinds, (0, 1)).all():
        raise UserError(f"row {number} of {described_as} must have a 0 or a 1 in {SEGMENTS!r} for each of {TOKENS!r}")
    swapped = row.get(SWAPPED)
    if swapped is not None and (type(swapped) is not int or swapped not in (0, 1)):
        raise UserError(f"row {number} of {described_as} has {swapped!r} in {SWAPPED!r}, which must hold 0 or 1")
    first, second = tokens[kinds == 0], tokens[kinds == 1]
    return TokenRow((second, first) if swapped else (first, second))


def _of(row: Mapping[str, Any], name: str, number: int, described_as: str) -> Any:
    if name not in row:
        raise UserError(
            f"row {number} of {described_as} has no column {name!r}, which others have; give it one, null for none, or "
            "leave the row out"
        )
    return row[name]


def _numbers(row: Mapping[str, Any], name: str, number: int, described_as: str) -> npt.NDArray[np.int64]:
    value = row[name]
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # lists of several lengths
        array = np.asarray(None)
    if not isinstance(value, list) or array.ndim != 1 or (len(value) and array.dtype.kind not in "iu"):
        raise UserError(f"row {number} of {described_as} must have a list of whole numbers in the column {name!r}")
    return array.astype(np.int64)
