"""The bytes of a tensor, which hashes are over and which travel."""

from __future__ import annotations

import torch


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, of any dtype; without a copy if it is contiguous.

    The view has the format 'B' and shares the tensor's memory.
    """
    return memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
