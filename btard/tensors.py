"""The bytes of a tensor, which hashes are over and which travel; how many threads compute one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, of any dtype; without a copy if it is contiguous.

    The view has the format 'B' and shares the tensor's memory.
    """
    return memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch computes in so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
