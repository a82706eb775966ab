"""How named tensors become bytes and are found in them again: the format of safetensors, written in one way only.

8 bytes of length, a header of JSON that tells type, shape and place of each tensor, then their bytes. The format leaves
the order of tensors and the blanks behind the header open; digests need bytes that follow from the tensors alone.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

import torch

from btard.errors import UserError
from btard.hashing import Payload

LENGTH = 8
"""Bytes of the header's length."""

_ALIGNED = 8
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""The types of the safetensors format."""

_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What a header tells of a tensor.

    Attributes:
        shape, dtype: of the tensor.
        start, end: of its bytes, counted from the beginning of the whole.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int
    end: int


def header_of(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return what stands before the bytes of these tensors, which follow in this order without gaps."""
    entries: dict[str, object] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNED)
    return len(header).to_bytes(LENGTH, "little") + header


def bytes_of_tensor(tensor: torch.Tensor) -> memoryview:
    """Return a tensor's bytes; they are its own memory where that is contiguous and on the CPU."""
    return tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data


def entries_of(data: Payload, most_header: int) -> dict[str, TensorEntry]:
    """Return what the header of `data` tells, if it fits the bytes behind it.

    Raises:
        UserError: no header, one of more than `most_header` bytes, or tensors that overlap, have gaps, or end elsewhere
            than the bytes do.
    """
    length = int.from_bytes(data[:LENGTH], "little")
    begin = LENGTH + length
    try:
        if length > min(most_header, len(data) - LENGTH):
            raise ValueError(f"its header would have {length:,} bytes")
        header = json.loads(bytes(data[LENGTH:begin]))
        entries = {str(name): _entry(told, begin) for name, told in header.items()}
        at = begin
        for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.end)):
            if entry.start != at or entry.end - at != math.prod(entry.shape) * entry.dtype.itemsize:
                raise ValueError("a tensor is not where its header tells")
            at = entry.end
        if at != len(data):
            raise ValueError("there are not as many bytes as its header tells")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"the training state is damaged, it is not valid safetensors: {error}") from error
    return entries


def _entry(told: Mapping[str, object], begin: int) -> TensorEntry:
    shape, offsets = told["shape"], told["data_offsets"]
    if not (_counts(shape) and _counts(offsets)) or len(offsets) != 2:
        raise ValueError("its header tells something else than shapes and places")
    return TensorEntry(tuple(shape), _DTYPES[str(told["dtype"])], begin + offsets[0], begin + offsets[1])


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def tensor_at(data: Payload, entry: TensorEntry) -> torch.Tensor:
    """Return a tensor of `entries_of` as a copy, on the CPU."""
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    read_into(tensor, data, entry)
    return tensor


def read_into(tensor: torch.Tensor, data: Payload, entry: TensorEntry) -> None:
    """Let a tensor of the same shape and type, on any device, take over the numbers of one of `entries_of`."""
    if tensor.device.type == "cpu" and tensor.is_contiguous():
        bytes_of_tensor(tensor.detach())[:] = memoryview(data)[entry.start : entry.end]
    else:
        tensor.detach().copy_(tensor_at(data, entry))
