"""Memory for parts, used again from step to step: fresh pages cost more than the arithmetic on them."""

from __future__ import annotations

_SLACK = 6
"""A sixth more than asked for is allocated: when a peer sits out, the others' parts grow by a little."""

_MOST_BYTES = 4
"""Times the largest request so far that a pool keeps at most."""


class BufferPool:
    """Hands out buffers and takes them back. What is in a buffer is left over from its last use.

    Only buffers that nobody reads or writes any more may be given back.
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []
        self._largest = 0

    def take(self, length: int) -> memoryview:
        """Return a buffer of `length` bytes."""
        self._largest = max(self._largest, length)
        fitting = [memory for memory in self._free if length <= len(memory) <= 2 * length]
        if not fitting:
            return memoryview(bytearray(length + length // _SLACK))[:length]
        best = min(fitting, key=len)
        self._free = [memory for memory in self._free if memory is not best]
        return memoryview(best)[:length]

    def give(self, buffer: memoryview) -> None:
        """Take back what `take` has handed out; those kept longest go when there are too many."""
        memory = buffer.obj
        if isinstance(memory, bytearray):
            self._free.insert(0, memory)
        while sum(map(len, self._free)) > _MOST_BYTES * self._largest:
            self._free.pop()
