"""Canonical bytes: msgpack with one encoding per value, decoded strictly and within bounds.

Everything here treats its input as hostile: sizes are checked before anything is built, and bytes that are not the very
bytes this codec would write are refused, so that a value has one hash.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgpack


class Malformed(ValueError):
    """Bytes from the network that do not decode to what they should be."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of nested lists of int, bytes, str, bool, float and None."""
    return msgpack.packb(value, use_bin_type=True)


def decode(data: bytes | memoryview, *, limit: int) -> Any:
    """Return the value that `encode` wrote.

    Args:
        data: the bytes.
        limit: the largest number of bytes accepted.

    Raises:
        Malformed: too long, not msgpack, maps or extensions inside, or not canonical.
    """
    if len(data) > limit:
        raise Malformed(f"{len(data)} bytes where at most {limit} are allowed")
    try:
        value = msgpack.unpackb(
            data, raw=False, max_map_len=0, max_ext_len=0, object_pairs_hook=_refuse, ext_hook=_refuse
        )
        canonical = encode(value) == data
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise Malformed(f"not canonical bytes: {error}") from None
    if not canonical:
        raise Malformed("not canonical bytes")
    return value


def _refuse(*_: object) -> None:
    raise ValueError("maps and extensions have no place here")


def as_fields(value: Any, count: int) -> list[Any]:
    """Return `value` if it is a list of exactly `count` fields; raises Malformed otherwise."""
    if not isinstance(value, list) or len(value) != count:
        raise Malformed(f"expected {count} fields")
    return value


def as_list(value: Any, *, most: int) -> list[Any]:
    """Return `value` if it is a list of at most `most` items; raises Malformed otherwise."""
    if not isinstance(value, list) or len(value) > most:
        raise Malformed(f"expected a list of at most {most} items")
    return value


def as_int(value: Any, low: int, high: int) -> int:
    """Return `value` if it is an integer in [low, high]; raises Malformed otherwise."""
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"expected an integer from {low} to {high}")
    return value


def as_bytes(value: Any, size: int | None = None, *, most: int | None = None) -> bytes:
    """Return `value` if it is bytes of the given size, or of at most `most`; raises Malformed otherwise."""
    if (
        type(value) is not bytes
        or (size is not None and len(value) != size)
        or (most is not None and len(value) > most)
    ):
        raise Malformed("expected bytes of another size")
    return value


def as_text(value: Any, *, most: int) -> str:
    """Return `value` if it is text of at most `most` characters; raises Malformed otherwise."""
    if type(value) is not str or len(value) > most:
        raise Malformed(f"expected text of at most {most} characters")
    return value


def ascending(values: Sequence[Any]) -> bool:
    """Whether the values are strictly ascending: the canonical order of a set."""
    return all(a < b for a, b in itertools.pairwise(values))
