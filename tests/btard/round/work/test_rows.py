"""The heavy work of aggregating: parts hashed as they travel, and rows left out by all alike."""

from __future__ import annotations

import math

import pytest
import torch

from btard.aggregation import centered_clip
from btard.hashing import Payload, digest
from btard.round.actions import AggregateRows
from btard.round.aggregates import part_tau
from btard.round.rules import AggregationRules
from btard.round.work.rows import aggregate_rows, encode_parts, row_length_excess
from btard.vectors.partition import from_wire, to_wire
from btard.verification.thresholds import LENGTH
from btard.vocabulary import WireType
from tests.btard.round.scene import length

MEAN = AggregationRules("mean", tau=1.0, reference_peers=4)
CLIP = AggregationRules("centered_clip", tau=1.0, reference_peers=4)


def rows(*numbers: list[float], wire: WireType = WireType.FLOAT32) -> list[Payload]:
    return [to_wire(torch.tensor(row), wire) for row in numbers]


def aggregated(
    rows: list[Payload], wire: WireType, rules: AggregationRules, parts: int = 4
) -> tuple[memoryview, tuple[int, ...], tuple[int, ...]]:
    result = aggregate_rows(AggregateRows(0, rules, tuple(rows), parts), wire)
    return result.payload, result.refused, result.too_long


@pytest.mark.parametrize("wire", list(WireType))
@pytest.mark.parametrize("count", [1, 3, 7, 12])
def test_the_hashes_are_of_the_bytes_that_travel(wire: WireType, count: int) -> None:
    vector = torch.randn(10, generator=torch.Generator().manual_seed(0))
    parts, digests = encode_parts(vector, count, wire, CLIP)
    assert len(parts) == len(digests) == count
    assert b"".join(parts) == bytes(to_wire(vector, wire))
    assert digests == tuple(digest(bytes(part)) for part in parts)


@pytest.mark.parametrize("wire", list(WireType))
def test_the_mean_of_rows(wire: WireType) -> None:
    value, refused, _ = aggregated(rows([1.0, 2.0], [3.0, 6.0], wire=wire), wire, MEAN)
    assert from_wire(value, wire).tolist() == [2.0, 4.0]
    assert refused == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wire", list(WireType))
def test_rows_with_a_single_bad_number_are_left_out_and_named(bad: float, wire: WireType) -> None:
    value, refused, _ = aggregated(rows([bad, 9.0], [1.0, 2.0], [9.0, bad], [3.0, 6.0], wire=wire), wire, MEAN)
    assert from_wire(value, wire).tolist() == [2.0, 4.0]
    assert refused == (0, 2)


@pytest.mark.parametrize("rule", [MEAN, CLIP])
def test_with_no_row_left_the_aggregate_is_zero(rule: AggregationRules) -> None:
    value, refused, _ = aggregated(rows([math.nan, 1.0], [math.inf, 1.0]), WireType.FLOAT32, rule)
    assert bytes(value) == bytes(8)
    assert refused == (0, 1)


def test_an_empty_part_has_an_empty_aggregate() -> None:
    value, refused, too_long = aggregated([b"", b""], WireType.FLOAT32, CLIP)
    assert (bytes(value), refused, too_long) == (b"", (), ())


def test_the_largest_numbers_make_no_infinity() -> None:
    for rule in (MEAN, CLIP):
        value, refused, _ = aggregated(rows([3.4e38], [3.4e38], [-3.4e38]), WireType.FLOAT32, rule)
        assert math.isfinite(from_wire(value, WireType.FLOAT32).item()) and refused == ()


@pytest.mark.parametrize("members, factor", [(4, 1.0), (1, 2.0), (16, 0.5), (8, math.sqrt(0.5))])
def test_tau_follows_the_length_of_a_part(members: int, factor: float) -> None:
    assert part_tau(AggregationRules("centered_clip", 3.0, 4), members) == pytest.approx(3.0 * factor)


def test_the_clipping_radius_follows_from_the_number_of_parts() -> None:
    numbers = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [50.0, 50.0], [math.nan, 0.0]]
    kept = [torch.tensor(row) for row in numbers[:4]]
    for parts in (5, 16):
        value, refused, _ = aggregated(rows(*numbers), WireType.FLOAT32, CLIP, parts)
        expected = centered_clip(kept, tau=math.sqrt(4 / parts)).value
        assert torch.equal(from_wire(value, WireType.FLOAT32), expected)
        assert refused == (4,)
    five, sixteen = (aggregated(rows(*numbers), WireType.FLOAT32, CLIP, n)[0] for n in (5, 16))
    assert bytes(five) != bytes(sixteen)


def test_the_place_of_rows_in_memory_changes_no_byte() -> None:
    vectors = torch.randn(5, 1001, generator=torch.Generator().manual_seed(1))
    apart: list[Payload] = [bytearray(to_wire(vector, WireType.FLOAT32)) for vector in vectors]
    block = memoryview(bytearray(b"xxxx" + b"".join(apart)))
    shifted: list[Payload] = [block[4 + i * 4004 : 4 + (i + 1) * 4004] for i in range(5)]
    one, other = (aggregated(these, WireType.FLOAT32, CLIP)[0] for these in (apart, shifted))
    assert bytes(one) == bytes(other)


LIMITED = AggregationRules("centered_clip", tau=1.0, reference_peers=4, max_norm=2.0)


@pytest.mark.parametrize("wire", list(WireType))
def test_parts_clipped_by_their_sender_pass(wire: WireType) -> None:
    vector = torch.cat([torch.full((10,), 5.0), torch.full((10,), 1e-3), torch.full((10,), -7.0), torch.zeros(10)])
    parts, digests = encode_parts(vector, 4, wire, LIMITED)
    assert [length(part, wire) for part in parts] == pytest.approx([1.0, 1e-3 * math.sqrt(10), 1.0, 0.0], rel=1e-2)
    assert digests == tuple(digest(bytes(part)) for part in parts)
    assert vector[0] == 5.0, "the vector itself stays"
    assert aggregated(list(parts), wire, LIMITED)[2] == ()
    assert all(LENGTH.acquits(row_length_excess(from_wire(part, wire), 1.0, wire)) for part in parts)


def test_rows_that_are_too_long_are_named_and_not_left_out() -> None:
    value, refused, too_long = aggregated(rows([1.01, 0.0], [0.5, 0.0], [1.0, 1.0]), WireType.FLOAT32, LIMITED)
    assert (refused, too_long) == ((), (0, 2))
    assert length(value) > 0
    assert aggregated(rows([1e30, 0.0]), WireType.FLOAT32, CLIP)[2] == (), "without the rule nothing is too long"
