import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.vectors.partition import Partition
from btard.verification.projection import CHUNK, Measure, Projection, projection_of
from btard.verification.scalars import measure_tolerance, norm_tolerance
from btard.vocabulary import WireType

FLOAT32_MAX = float(torch.finfo(torch.float32).max)
SEED = bytes(range(32))
# Made once with integers in plain Python from the definition, each block of the stream by AES alone.
PINNED_HEAD = ["0x1.282e4193c3ca8p-8", "0x1.04fa6553ae86bp+0", "-0x1.bb5d4a184b583p-1", "0x1.68991ca597bfap+0"]
PINNED_TAIL = ["0x1.1b0fcf44dfee8p+0", "-0x1.567aae09e5f55p+0"]
PINNED_NORM = "0x1.6d3fd376d451ep+7"


def cut(dimension: int, count: int) -> Partition:
    return Partition(dimension, count, WireType.FLOAT32)


def pieces(flat: torch.Tensor, partition: Partition) -> list[torch.Tensor]:
    return [flat[slice(*partition.bounds(part))] for part in range(partition.count)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(z: torch.Tensor, row: torch.Tensor, aggregate: torch.Tensor) -> Measure:
    """float64 over whole vectors, summed exactly: no order of additions to speak of."""
    difference = row.double() - aggregate.double()
    return Measure(math.fsum((z * difference).tolist()), math.sqrt(math.fsum((difference * difference).tolist())))


def agree(one: Measure, other: Measure) -> None:
    assert abs(one.projection - other.projection) <= measure_tolerance(other.norm, math.inf)
    assert abs(one.norm - other.norm) <= norm_tolerance(other.norm)


def test_the_numbers_are_the_same_on_every_platform() -> None:
    projection = Projection(SEED, cut(100_000, 3))
    assert [value.hex() for value in projection.direction(0)[:4].tolist()] == PINNED_HEAD
    assert [value.hex() for value in projection.direction(2)[-2:].tolist()] == PINNED_TAIL
    assert projection.norm(1).hex() == PINNED_NORM


def test_directions_have_mean_zero_variance_one_and_bounded_size() -> None:
    z = Projection(SEED, cut(1_000_000, 1)).direction(0)
    assert abs(float(z.mean())) < 4e-3
    assert abs(float(z.square().mean()) - 1) < 4e-3
    assert float(z.abs().max()) < math.sqrt(3)
    # Neighbours, and numbers one or two chunks apart, have nothing to do with each other.
    for lag in (1, 32, CHUNK, 65536):
        assert abs(float((z[lag:] * z[:-lag]).mean())) < 5e-3


def test_the_direction_does_not_depend_on_how_the_vector_is_cut() -> None:
    whole = Projection(SEED, cut(100_001, 1)).direction(0)
    for count in (2, 7, 1000):
        projection = Projection(SEED, cut(100_001, count))
        assert torch.equal(torch.cat([projection.direction(part) for part in range(count)]), whole)


def test_other_randomness_gives_another_direction() -> None:
    one, other = (Projection(seed, cut(1000, 1)).direction(0) for seed in (SEED, SEED[::-1]))
    assert abs(float(one @ other)) < 6 * math.sqrt(1000)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("shape", ["random", "one coordinate", "constant", "repeated"])
def test_projections_are_unbiased_and_deviate_by_the_length(shape: str) -> None:
    vector = {
        "random": normal(40_000),
        "one coordinate": torch.eye(1, 40_000)[0],
        "constant": torch.ones(40_000),
        "repeated": normal(1, 20_000).repeat(2, 1).flatten(),
    }[shape]
    length = float(vector.double().norm())
    aggregate = torch.zeros(40_000)
    partition = cut(40_000, 1)
    draws = [Projection(b"%d" % i, partition).row(0, vector, aggregate).projection / length for i in range(600)]
    assert abs(statistics.fmean(draws)) < 4 / math.sqrt(600)
    assert 0.85 < statistics.pstdev(draws) < 1.15
    # An error seldom hides: the chance of less than 5 % of the deviation is at most 4.1 %.
    assert sum(abs(draw) < 0.05 for draw in draws) / 600 < 0.041 + 4 * 0.0082


@pytest.mark.parametrize("dimension", [1, 2, 15, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 200_000])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_all_ways_of_measuring_agree_with_exact_sums(dimension: int, offset: float) -> None:
    for count in (1, 3, 16):
        partition = cut(dimension, count)
        aggregate, row = normal(dimension) + offset, normal(dimension, seed=1) + offset
        aggregates, own = pieces(aggregate, partition), pieces(row, partition)
        projection = Projection(SEED, partition)
        measures = projection.vector(own, aggregates)
        assert len(measures) == count
        for part, measure in enumerate(measures):
            expected = exact(projection.direction(part), own[part], aggregates[part])
            agree(measure, expected)
            agree(projection.row(part, own[part], aggregates[part]), expected)
            z_norm = float(projection.direction(part).norm())
            assert projection.norm(part) == pytest.approx(z_norm, rel=1e-12)
            assert Projection(SEED, partition).norm(part) == projection.norm(part)


def test_batches_of_short_and_long_rows_agree_bit_for_bit() -> None:
    partition = cut(100_000, 50)
    column, aggregate = normal(64, 2000), normal(2000, seed=1)
    together = Projection(SEED, partition).rows(7, list(column), aggregate)
    assert together == Projection(SEED, partition).rows(7, [row.clone() for row in column], aggregate.clone())
    for row, measure in zip(column, together, strict=True):
        agree(Projection(SEED, partition).row(7, row, aggregate), measure)


@pytest.mark.parametrize("dimension", [3000, 90_000])
def test_alignment_and_thread_count_change_no_bit(dimension: int) -> None:
    partition = cut(dimension, 2)
    row, aggregates = normal(dimension), pieces(normal(dimension, seed=1), partition)
    expected = Projection(SEED, partition).vector(pieces(row, partition), aggregates)
    moved = [torch.cat([torch.zeros(shift), row])[shift:] for shift in (1, 3)]
    for flat in moved:
        assert Projection(SEED, partition).vector(pieces(flat, partition), aggregates) == expected
    threads = torch.get_num_threads()
    try:
        for used in (1, 2):
            torch.set_num_threads(used)
            assert Projection(SEED, partition).vector(pieces(row, partition), aggregates) == expected
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dimension", [64, 70_000])
def test_non_finite_numbers_spoil_their_own_measure_only(bad: float, dimension: int) -> None:
    partition = cut(dimension, 2)
    vector, aggregate = normal(dimension), normal(dimension, seed=1)
    poisoned = vector.clone()
    poisoned[dimension // 4] = bad
    projection = Projection(SEED, partition)
    aggregates = pieces(aggregate, partition)
    broken, whole = projection.vector(pieces(poisoned, partition), aggregates)
    assert not math.isfinite(broken.projection) and not math.isfinite(broken.norm)
    assert whole == projection.vector(pieces(vector, partition), aggregates)[1]
    column = [pieces(some, partition)[0] for some in (vector, poisoned, vector)]
    first, broken, last = projection.rows(0, column, aggregates[0])
    assert first == last and math.isfinite(first.norm) and math.isfinite(first.projection)
    assert not math.isfinite(broken.projection) and not math.isfinite(broken.norm)
    assert not all(map(math.isfinite, projection.aggregate_norms(column[1:2] + aggregates[1:])))


@pytest.mark.parametrize("dimension", [10, 70_000])
def test_the_largest_opposite_numbers_do_not_overflow(dimension: int) -> None:
    row, aggregate = torch.full((dimension,), FLOAT32_MAX), torch.full((dimension,), -FLOAT32_MAX)
    projection = Projection(SEED, cut(dimension, 1))
    for measure in (projection.row(0, row, aggregate), *projection.vector([row], [aggregate])):
        assert measure.norm == pytest.approx(2 * FLOAT32_MAX * math.sqrt(dimension))
        agree(measure, exact(projection.direction(0), row, aggregate))
    assert projection.aggregate_norms([row])[0] == pytest.approx(FLOAT32_MAX * math.sqrt(dimension), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_norms_of_aggregates(scale: float) -> None:
    for dimension in (500, 100_000):
        partition = cut(dimension, 3)
        parts = pieces(normal(dimension) * scale, partition)
        expected = [float(part.double().norm()) for part in parts]
        assert Projection(SEED, partition).aggregate_norms(parts) == pytest.approx(expected, rel=1e-3)


def test_empty_parts_measure_nothing() -> None:
    for dimension in (0, 3):
        partition = cut(dimension, 5)
        projection = Projection(SEED, partition)
        parts = pieces(torch.ones(dimension), partition)
        zeros = [torch.zeros_like(part) for part in parts]
        assert projection.vector(parts, zeros)[dimension:] == [Measure(0.0, 0.0)] * (5 - dimension)
        assert projection.rows(4, [parts[4]] * 2, zeros[4]) == [Measure(0.0, 0.0)] * 2
        assert projection.norm(4) == 0.0
        assert projection.aggregate_norms(parts)[dimension:] == [0.0] * (5 - dimension)
    assert projection.rows(0, [], zeros[0]) == []


def test_other_shapes_are_refused() -> None:
    projection = Projection(SEED, cut(10, 2))
    five, six = torch.zeros(5), torch.zeros(6)
    for call in (
        lambda: projection.row(0, six, five),
        lambda: projection.row(0, five, six),
        lambda: projection.vector([five], [five, five]),
        lambda: projection.vector([five, five], [five, six]),
        lambda: projection.aggregate_norms([five]),
    ):
        with pytest.raises(ValueError, match="part"):
            call()


def test_simulated_peers_share_one_direction() -> None:
    assert projection_of(SEED, cut(10, 2)) is projection_of(bytes(SEED), cut(10, 2))
    assert projection_of(SEED, cut(10, 2)) is not projection_of(SEED, cut(10, 3))


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 3000), st.integers(1, 300), st.integers(0, 2**32), st.floats(-30, 30))
def test_any_cut_measures_like_exact_sums(dimension: int, count: int, seed: int, log_scale: float) -> None:
    partition = cut(dimension, count)
    row, aggregate = normal(dimension, seed=seed) * 10**log_scale, normal(dimension, seed=seed + 1)
    projection = Projection(SEED, partition)
    parts, aggregates = pieces(row, partition), pieces(aggregate, partition)
    for part, measure in enumerate(projection.vector(parts, aggregates)):
        agree(measure, exact(projection.direction(part), parts[part], aggregates[part]))
