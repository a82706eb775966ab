"""Codes of any number of bits survive packing, and nothing hides behind the last one."""

from __future__ import annotations

import pytest
import torch

from btard.identity import Malformed
from btard.pipeline.codecs.packing import pack, packed_size, padded, unpack


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_codes_of_any_width_come_back(bits: int, count: int) -> None:
    codes = torch.zeros(padded(count), dtype=torch.uint8)
    codes[:count] = torch.randint(1 << bits, (count,), generator=torch.Generator().manual_seed(count))
    packed = pack(codes, bits)
    assert len(packed) == packed_size(count, bits) < bits * (count + 64) / 8
    assert torch.equal(unpack(packed, bits, count), codes)


def test_the_layout_is_that_of_the_docstring() -> None:
    codes = torch.randint(8, (128,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    lanes = codes.view(8, 16)
    expected = [
        sum(int(lanes[lane, place]) << (3 * lane) for lane in range(8)).to_bytes(3, "little") for place in range(16)
    ]
    assert pack(codes, 3).view(3, 16).T.flatten().tolist() == list(b"".join(expected))


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_after_the_last_one_are_refused(bits: int) -> None:
    codes = torch.zeros(64, dtype=torch.uint8)
    codes[63] = 1
    with pytest.raises(Malformed, match="after the last"):
        unpack(pack(codes, bits), bits, 63)
