"""The heavy work: parts hashed as they travel, rows that are no numbers left out by all alike, a fitting tau."""

from __future__ import annotations

import math

import pytest
import torch

from btard.aggregation import RuleName, centered_clip
from btard.hashing import digest
from btard.round.partition import WireType, from_wire, to_wire
from btard.round.work import AggregationRules, aggregate_rows, encode_parts
from btard.transport.base import Payload

MEAN = AggregationRules(RuleName.MEAN, tau=1.0, reference_peers=4)
CLIP = AggregationRules(RuleName.CENTERED_CLIP, tau=1.0, reference_peers=4)
NAN, INF = float("nan"), float("inf")


def rows(*numbers: list[float], wire: WireType = WireType.FLOAT32) -> list[Payload]:
    return [to_wire(torch.tensor(row), wire) for row in numbers]


@pytest.mark.parametrize("wire", list(WireType))
@pytest.mark.parametrize("count", [1, 3, 7, 12])
def test_the_hashes_are_of_the_bytes_that_travel(wire: WireType, count: int) -> None:
    vector = torch.randn(10, generator=torch.Generator().manual_seed(0))
    parts, digests = encode_parts(vector, count, wire)
    assert len(parts) == len(digests) == count
    assert b"".join(parts) == bytes(to_wire(vector, wire))
    assert digests == tuple(digest(bytes(part)) for part in parts)


@pytest.mark.parametrize("wire", list(WireType))
def test_the_mean_of_rows(wire: WireType) -> None:
    value, refused = aggregate_rows(rows([1.0, 2.0], [3.0, 6.0], wire=wire), 2, wire, MEAN)
    assert from_wire(value, wire).tolist() == [2.0, 4.0]
    assert refused == ()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("wire", list(WireType))
def test_rows_with_a_single_bad_number_are_left_out_and_named(bad: float, wire: WireType) -> None:
    value, refused = aggregate_rows(rows([bad, 9.0], [1.0, 2.0], [9.0, bad], [3.0, 6.0], wire=wire), 4, wire, MEAN)
    assert from_wire(value, wire).tolist() == [2.0, 4.0]
    assert refused == (0, 2)


@pytest.mark.parametrize("rule", [MEAN, CLIP])
def test_with_no_row_left_the_aggregate_is_zero(rule: AggregationRules) -> None:
    value, refused = aggregate_rows(rows([NAN, 1.0], [INF, 1.0]), 2, WireType.FLOAT32, rule)
    assert bytes(value) == bytes(8)
    assert refused == (0, 1)


def test_an_empty_part_has_an_empty_aggregate() -> None:
    value, refused = aggregate_rows([b"", b""], 2, WireType.FLOAT32, CLIP)
    assert (bytes(value), refused) == (b"", ())


def test_the_largest_numbers_make_no_infinity() -> None:
    for rule in (MEAN, CLIP):
        value, refused = aggregate_rows(rows([3.4e38], [3.4e38], [-3.4e38]), 3, WireType.FLOAT32, rule)
        assert math.isfinite(from_wire(value, WireType.FLOAT32).item()) and refused == ()


@pytest.mark.parametrize("members, factor", [(4, 1.0), (1, 2.0), (16, 0.5), (8, math.sqrt(0.5))])
def test_tau_follows_the_length_of_a_part(members: int, factor: float) -> None:
    assert AggregationRules(RuleName.CENTERED_CLIP, 3.0, 4).part_tau(members) == pytest.approx(3.0 * factor)


def test_the_clipping_radius_is_that_of_the_attempts_members_not_of_the_rows_that_count() -> None:
    numbers = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [50.0, 50.0], [NAN, 0.0]]
    kept = [torch.tensor(row) for row in numbers[:4]]
    for members in (5, 16):
        value, refused = aggregate_rows(rows(*numbers), members, WireType.FLOAT32, CLIP)
        expected = centered_clip(kept, tau=math.sqrt(4 / members)).value
        assert torch.equal(from_wire(value, WireType.FLOAT32), expected)
        assert refused == (4,)
    five, sixteen = (aggregate_rows(rows(*numbers), n, WireType.FLOAT32, CLIP)[0] for n in (5, 16))
    assert bytes(five) != bytes(sixteen)


def test_the_same_rows_give_the_same_bytes_wherever_they_lie_in_memory() -> None:
    vectors = torch.randn(5, 1001, generator=torch.Generator().manual_seed(1))
    apart = [bytearray(to_wire(vector, WireType.FLOAT32)) for vector in vectors]
    block = memoryview(bytearray(b"xxxx" + b"".join(apart)))
    shifted = [block[4 + i * 4004 : 4 + (i + 1) * 4004] for i in range(5)]
    assert bytes(aggregate_rows(apart, 5, WireType.FLOAT32, CLIP)[0]) == bytes(
        aggregate_rows(shifted, 5, WireType.FLOAT32, CLIP)[0]
    )
