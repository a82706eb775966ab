"""Parts: they tile the vector, differ by one number at most, and their wire bytes never turn a number into infinity."""

from __future__ import annotations

import itertools
import math
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from btard.vectors.partition import Partition, dtype_of, from_wire, rows_from_wire, to_wire
from btard.vocabulary import WireType

wires = st.sampled_from(WireType)
floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(st.integers(0, 300), st.integers(1, 40), wires)
def test_parts_tile_the_vector(dimension: int, count: int, wire: WireType) -> None:
    partition = Partition(dimension, count, wire)
    bounds = [partition.bounds(part) for part in range(count)]
    assert bounds[0][0] == 0 and bounds[-1][1] == dimension
    assert all(one[1] == other[0] for one, other in itertools.pairwise(bounds))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert [partition.length(part) for part in range(count)] == [size * wire.size for size in sizes]


@given(st.lists(floats, max_size=50), st.integers(1, 10), wires)
def test_the_parts_put_together_are_the_wire_bytes(numbers: list[float], count: int, wire: WireType) -> None:
    flat = to_wire(torch.tensor(numbers, dtype=torch.float32), wire)
    partition = Partition(len(numbers), count, wire)
    parts = [partition.view(flat, part) for part in range(count)]
    assert b"".join(parts) == bytes(flat)
    assert [len(part) for part in parts] == [partition.length(part) for part in range(count)]


def test_a_part_is_a_window_and_not_a_copy() -> None:
    flat = memoryview(bytearray(40))
    Partition(10, 3, WireType.FLOAT32).view(flat, 1)[:] = b"x" * 12
    assert bytes(flat) == bytes(16) + b"x" * 12 + bytes(12)


@given(st.lists(floats, max_size=30))
def test_float32_travels_bit_by_bit(numbers: list[float]) -> None:
    vector = torch.tensor(numbers, dtype=torch.float32)
    data = to_wire(vector, WireType.FLOAT32)
    assert bytes(data) == struct.pack(f"<{len(numbers)}f", *numbers)
    assert torch.equal(from_wire(data, WireType.FLOAT32).view(torch.int32), vector.view(torch.int32))


@pytest.mark.parametrize(
    "wire, data",
    [
        (WireType.FLOAT32, b"\x00\x00\xc0\xbf"),
        (WireType.FLOAT16, b"\x00\xbe"),
        (WireType.BFLOAT16, b"\xc0\xbf"),
    ],
)
def test_the_wire_is_little_endian(wire: WireType, data: bytes) -> None:
    assert bytes(to_wire(torch.tensor([-1.5]), wire)) == data
    assert from_wire(bytearray(data), wire).tolist() == [-1.5]


@given(st.lists(floats, max_size=30), wires)
def test_the_wire_makes_no_infinity_and_hides_none(numbers: list[float], wire: WireType) -> None:
    vector = torch.tensor(numbers, dtype=torch.float32)
    back = from_wire(to_wire(vector, wire), wire)
    assert back.dtype == torch.float32
    assert torch.equal(torch.isnan(back), torch.isnan(vector))
    assert torch.equal(torch.isinf(back), torch.isinf(vector))
    precision = torch.finfo(dtype_of(wire))
    for sent, received in zip(vector.tolist(), back.tolist(), strict=True):
        if math.isfinite(sent):
            expected = max(-precision.max, min(precision.max, sent))
            assert received == pytest.approx(expected, rel=precision.eps, abs=precision.smallest_normal)


@pytest.mark.parametrize("wire, largest", [(WireType.FLOAT16, 65504.0), (WireType.BFLOAT16, 3.3895313892515355e38)])
def test_large_numbers_become_the_largest(wire: WireType, largest: float) -> None:
    vector = torch.tensor([3.4e38, -3.4e38, largest, -largest])
    assert from_wire(to_wire(vector, wire), wire).tolist() == [largest, -largest, largest, -largest]


@given(st.lists(floats, max_size=30), wires)
def test_bytes_that_have_travelled_do_not_change_again(numbers: list[float], wire: WireType) -> None:
    once = to_wire(torch.tensor([x for x in numbers if not math.isnan(x)], dtype=torch.float32), wire)
    assert bytes(to_wire(from_wire(once, wire), wire)) == bytes(once)


@pytest.mark.parametrize("wire", list(WireType))
def test_an_empty_part_has_no_numbers(wire: WireType) -> None:
    assert bytes(to_wire(torch.empty(0), wire)) == b""
    assert rows_from_wire([b"", bytearray(), memoryview(b"")], wire)[1].tolist() == []


def test_a_vector_with_gaps_in_memory_travels_whole() -> None:
    vector = torch.arange(10.0)[::2].requires_grad_()
    assert from_wire(to_wire(vector, WireType.FLOAT32), WireType.FLOAT32).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
