"""Codes of 1 to 8 bits, packed without gaps.

The codes, padded with zeros to a multiple of 64, are cut into eight lanes of equal length. Of place i in all lanes, the
codes stand one after another, lowest bits first, in byte i of each of the `bits` rows of the result. So every shift
works on whole rows, eight bytes in one integer.
"""

from __future__ import annotations

import torch

from btard.identity import Malformed

_LANES = 8
_ALIGNED = 64


def packed_size(count: int, bits: int) -> int:
    """Return into how many bytes `pack` makes `count` codes."""
    return bits * padded(count) // 8


def padded(count: int) -> int:
    """Return for how many codes a buffer must have room."""
    return -(-count // _ALIGNED) * _ALIGNED


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Return codes as bytes, uint8 of shape (packed_size,).

    Args:
        codes: uint8, shape (padded(count),), all below 2^bits, zeros after the last one.
        bits: 1 to 8.
    """
    lanes = codes.view(torch.int64).view(_LANES, -1)
    rows = torch.zeros(bits, lanes.shape[1], dtype=torch.int64, device=codes.device)
    for row in range(bits):
        for lane in range(_LANES):
            shift = lane * bits - 8 * row
            if 0 <= shift < 8:
                rows[row] |= (lanes[lane] & _bytes((1 << min(bits, 8 - shift)) - 1)) << shift
            elif -bits < shift < 0:
                rows[row] |= (lanes[lane] >> -shift) & _bytes(0xFF >> -shift)
    return rows.view(-1).view(torch.uint8)


def unpack(packed: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """Return the codes that `pack` was given, uint8 of shape (padded(count),).

    Args:
        packed: uint8, shape (packed_size(count, bits),).

    Raises:
        Malformed: what pads the codes is not zero.
    """
    rows = packed.view(torch.int64).view(bits, -1)
    lanes = torch.empty(_LANES, rows.shape[1], dtype=torch.int64, device=packed.device)
    for lane in range(_LANES):
        row, shift = divmod(lane * bits, 8)
        have = min(bits, 8 - shift)
        torch.bitwise_and(rows[row] >> shift, _bytes((1 << have) - 1), out=lanes[lane])
        if have < bits:
            lanes[lane] |= (rows[row + 1] & _bytes((1 << (bits - have)) - 1)) << have
    codes = lanes.view(-1).view(torch.uint8)
    if bool(codes[count:].any()):
        raise Malformed("codes after the last one")
    return codes


def _bytes(mask: int) -> int:
    """Return a mask for each of the eight bytes of a signed integer."""
    return int.from_bytes(bytes([mask] * 8), "big", signed=True)
