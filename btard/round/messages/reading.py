"""Bodies that are read again and again: once is enough."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

_SHORT = 16 << 10
"""Bytes; bodies up to this size are remembered: a message is looked at several times, in simulations by every peer."""

M = TypeVar("M")


def read_once(read: Callable[[bytes], M], body: bytes) -> M:
    """Return what `read` makes of a body, a message that nobody changes."""
    return remembered(read, body) if len(body) <= _SHORT else read(body)


# Readers of the same bytes share one message. What is malformed is not remembered.
@lru_cache(maxsize=2048)
def remembered(read: Callable[[bytes], M], body: bytes) -> M:
    """See `read_once`."""
    return read(body)
