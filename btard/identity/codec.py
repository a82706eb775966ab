"""Canonical bytes: msgpack with one encoding per value, decoded strictly and within bounds.

Everything here treats its input as hostile: sizes are checked before anything is built, and bytes that are not the very
bytes this codec would write are refused, so that a value has one hash. Messages, which anybody sends at any time, are
read field by field (`Reader`); what is rare is decoded as a whole.
"""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Sequence
from typing import Any

import msgpack

_FIRST_BUFFER = 4 << 10
"""Bytes that are set aside to encode a value; more are taken as it grows. The codec's own default is 256 KiB."""


class Malformed(ValueError):
    """Bytes from the network that do not decode to what they should be."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of nested lists of int, bytes, str, bool, float and None."""
    return msgpack.packb(value, use_bin_type=True, buf_size=_FIRST_BUFFER)


def decode(data: bytes | memoryview, *, limit: int) -> Any:
    """Return the value that `encode` wrote.

    Args:
        data: the bytes.
        limit: the largest number of bytes accepted.

    Raises:
        Malformed: too long, not msgpack, maps or extensions inside, not canonical, or a value that would take many
            times the memory of its bytes.
    """
    if len(data) > limit:
        raise Malformed(f"{len(data)} bytes where at most {limit} are allowed")
    try:
        _weigh(data)
        value = msgpack.unpackb(
            data, raw=False, max_map_len=0, max_ext_len=0, object_pairs_hook=_refuse, ext_hook=_refuse
        )
        canonical = encode(value) == data
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise Malformed(f"not canonical bytes: {error}") from None
    if not canonical:
        raise Malformed("not canonical bytes")
    return value


_MOST_WEIGHT = 5
"""Times the length of its bytes: the memory that a decoded value may take, beside `_FREE_WEIGHT`."""

_FREE_WEIGHT = 4096

_ITEM, _LIST, _NUMBER, _STRING = 8, 72, 32, 64
"""Bytes of memory, about: a place in a list, a list, a number, and the head of bytes or text."""

# Of the heads of values: how many bytes follow, in how many bytes their number is written, or how many items follow.
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LISTS = {0xDC: 2, 0xDD: 4}


def _weigh(data: bytes | memoryview) -> None:
    """Go through the heads of all values; raises Malformed where what they claim, or build, is too much."""
    at, end = 0, len(data)
    most, weight, awaited = _FREE_WEIGHT + _MOST_WEIGHT * end, 0, 1
    while awaited and at < end:
        head = data[at]
        at += 1
        awaited -= 1
        weight += _ITEM
        if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
            continue
        if head in _FIXED:
            at += _FIXED[head]
            weight += _NUMBER
        elif 0x90 <= head < 0xA0 or head in _LISTS:
            width = _LISTS.get(head, 0)
            awaited += int.from_bytes(data[at : at + width], "big") if width else head & 0x0F
            at += width
            weight += _LIST
        elif 0xA0 <= head < 0xC0 or head in _SIZED:
            width = _SIZED.get(head, 0)
            size = int.from_bytes(data[at : at + width], "big") if width else head & 0x1F
            at += width + size
            weight += _STRING + size
        else:
            raise Malformed("maps and extensions have no place here")
        if weight > most or awaited > end:
            raise Malformed(f"{end} bytes of too many small values")


def _refuse(*_: object) -> None:
    raise ValueError("maps and extensions have no place here")


class Reader:
    """Reads what `encode` wrote field by field, in order, each as what it must be.

    Only the very bytes that `encode` would write for the value are accepted, so nothing has to be encoded again to
    compare; and nothing is built that its bytes do not pay for, whatever they claim. All methods raise Malformed.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, *, limit: int) -> None:
        """Begin to read; more than `limit` bytes are refused."""
        if len(data) > limit:
            raise Malformed(f"{len(data)} bytes where at most {limit} are allowed")
        self._data = data
        self._at = 0

    def end(self) -> None:
        """Nothing follows."""
        if self._at != len(self._data):
            raise Malformed("bytes after the value")

    def _head(self) -> int:
        at = self._at
        if at >= len(self._data):
            raise Malformed("the bytes end too early")
        self._at = at + 1
        return self._data[at]

    def _take(self, size: int) -> bytes:
        at = self._at
        self._at = at + size
        if self._at > len(self._data):
            raise Malformed("the bytes end too early")
        return self._data[at : self._at]

    def _wide(self, width: int, above: int) -> int:
        """Read a number of so many bytes, which a shorter form could not hold."""
        value = int.from_bytes(self._take(width), "big")
        if value < above:
            raise Malformed("not canonical bytes")
        return value

    def items(self, *, most: int) -> int:
        """Return how many items the list has that begins here."""
        head = self._head()
        if 0x90 <= head < 0xA0:
            count = head & 0x0F
        elif head == 0xDC:
            count = self._wide(2, 16)
        elif head == 0xDD:
            count = self._wide(4, 1 << 16)
        else:
            raise Malformed("expected a list")
        if count > most:
            raise Malformed(f"expected a list of at most {most} items")
        return count

    def fields(self, count: int) -> None:
        """A list of exactly `count` fields begins here."""
        if self.items(most=count) != count:
            raise Malformed(f"expected {count} fields")

    def number(self, low: int, high: int) -> int:
        """Return an integer in [low, high], low not being negative."""
        head = self._head()
        if head < 0x80:
            value = head
        elif head == 0xCC:
            value = self._wide(1, 1 << 7)
        elif head == 0xCD:
            value = self._wide(2, 1 << 8)
        elif head == 0xCE:
            value = self._wide(4, 1 << 16)
        elif head == 0xCF:
            value = self._wide(8, 1 << 32)
        else:
            raise Malformed("expected an integer")
        if not low <= value <= high:
            raise Malformed(f"expected an integer from {low} to {high}")
        return value

    def blob(self, size: int | None = None, *, least: int = 0, most: int | None = None) -> bytes:
        """Return bytes of the given size, or of at least `least` and at most `most`."""
        length = self.measure(size, most=most)
        if length < least:
            raise Malformed("expected bytes of another size")
        return self._take(length)

    def measure(self, size: int | None = None, *, most: int | None = None) -> int:
        """Return how many bytes begin here, and stand before them."""
        head = self._head()
        if head == 0xC4:
            length = self._wide(1, 0)
        elif head == 0xC5:
            length = self._wide(2, 1 << 8)
        elif head == 0xC6:
            length = self._wide(4, 1 << 16)
        else:
            raise Malformed("expected bytes")
        if (size is not None and length != size) or (most is not None and length > most):
            raise Malformed("expected bytes of another size")
        return length

    def skip(self, size: int) -> None:
        """Go past bytes that `measure` has found."""
        self._at += size
        if self._at > len(self._data):
            raise Malformed("the bytes end too early")

    def blobs(self, size: int, *, most: int) -> list[bytes]:
        """Return a list of at most `most` bytes, all of one size below 256."""
        count, wide = self.items(most=most), size + 2
        run = self._take(count * wide)
        if run[::wide].count(0xC4) != count or run[1::wide].count(size) != count:
            raise Malformed("expected bytes of another size")
        return [run[at : at + size] for at in range(2, count * wide, wide)]

    def floats(self, *, most: int) -> tuple[float, ...]:
        """Return a list of at most `most` floating-point numbers."""
        count = self.items(most=most)
        run = self._take(9 * count)
        if run[::9].count(0xCB) != count:
            raise Malformed("expected floating-point numbers")
        return tuple(value for _, value in struct.iter_unpack(">Bd", run))

    def text(self, *, most: int) -> str:
        """Return text of at most `most` bytes, fewer than 32."""
        head = self._head()
        if not 0xA0 <= head <= 0xA0 + min(most, 31):
            raise Malformed(f"expected text of at most {most} bytes")
        try:
            return self._take(head & 0x1F).decode()
        except UnicodeDecodeError:
            raise Malformed("expected text") from None

    def none(self) -> bool:
        """Whether nothing stands here; then go past it."""
        if self._data[self._at : self._at + 1] != b"\xc0":
            return False
        self._at += 1
        return True


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


def to_base64(data: bytes) -> str:
    """Return bytes as text for JSON."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes that `to_base64` was given; raises Malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # a character that is no ASCII raises no more special one
        raise Malformed(str(error)) from None
