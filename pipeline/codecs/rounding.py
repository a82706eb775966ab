"""Random bits for stochastic rounding, from a seed and a counter: the same on every device, and in any order.

All of it is multiplication, addition and shifts of 32-bit integers, which wrap around alike on a CPU and with CUDA. A
checker that knows the seed draws the same bits and gets the same codes.
"""

from __future__ import annotations

import torch

from btard.hashing import tagged_digest

_GOLDEN = 0x9E3779B9
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B
"""The multipliers of an integer hash whose bits depend on all bits of its input about equally (C. Wellons,
'lowbias32')."""

UNIFORM_BITS = 16
"""Bits of a draw: with codes of up to 8 bits, a level and a draw have an exact sum in float32."""


def rounding_seed(run: bytes, step: int, boundary: str, sample: int) -> int:
    """Return the 64-bit seed by which one sample's activations are rounded at a boundary, in one step."""
    fields = (run, step.to_bytes(8, "big"), boundary.encode(), sample.to_bytes(8, "big"))
    return int.from_bytes(tagged_digest("btard pipeline rounding", *fields)[:8], "big")


def counters(count: int, device: torch.device) -> torch.Tensor:
    """Return what `draw_into` hashes for the first `count` elements of a sample: int32, shape (count,)."""
    return torch.arange(count, dtype=torch.int32, device=device).mul_(_signed(_GOLDEN))


def draw_into(out: torch.Tensor, scratch: torch.Tensor, counted: torch.Tensor, seed: int, first: int) -> torch.Tensor:
    """Fill `out` with uniform integers in [0, 2^16): a function of the seed and of each element's place.

    Args:
        out: int32, shape (count,).
        scratch: the same; overwritten.
        counted: what `counters` returned for at least `count` elements.
        seed: 64 bits.
        first: place of the first element in its sample.
    """
    start = (first * _GOLDEN + seed) & 0xFFFFFFFF
    torch.add(counted[: len(out)], _signed(start), out=out)
    _fold(out, scratch, 16)
    out.mul_(_signed(_FIRST))
    out.bitwise_xor_(_signed(seed >> 32))
    _fold(out, scratch, 15)
    out.mul_(_signed(_SECOND))
    return out.bitwise_right_shift_(32 - UNIFORM_BITS).bitwise_and_((1 << UNIFORM_BITS) - 1)


def _fold(values: torch.Tensor, scratch: torch.Tensor, by: int) -> None:
    """values ^= values >> by, the sign bit being a bit like the others."""
    torch.bitwise_right_shift(values, by, out=scratch)
    values.bitwise_xor_(scratch.bitwise_and_((1 << (32 - by)) - 1))


def _signed(word: int) -> int:
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >= 1 << 31 else word
