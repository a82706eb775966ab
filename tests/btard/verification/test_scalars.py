import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.aggregation import centered_clip
from btard.aggregation.coordinate.mean import Mean
from btard.vectors.partition import Partition, dtype_of, from_wire, to_wire
from btard.verification.projection import Measure, Projection
from btard.verification.scalars import (
    aggregate_error,
    clipped,
    measure_tolerance,
    norm_tolerance,
    plausible,
    sketch_distance,
    sum_tolerance,
    within_bound,
)
from btard.vocabulary import WireType

LONGEST = 1e39
SIZES = (1, 2, 3, 17, 100, 1000, 4097, 20_000)
ATTACKS = ("none", "sign flip", "common direction", "offset", "equal", "huge")
WIRES = tuple(WireType)
TAUS = (1e-3, 0.3, 3.0, 1e3, math.inf)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def column(attack: str, n: int, d: int, seed: int, scale: float, wire: WireType) -> torch.Tensor:
    """(n, d) rows with fewer than half hostile, as they arrive: rounded to the wire type."""
    rows = normal(n, d, seed=seed) * scale
    hostile = (n - 1) // 2
    if attack == "sign flip":
        rows[:hostile] *= -1000
    elif attack == "common direction":
        rows[:hostile] = 1000 * scale * normal(d, seed=seed + 1)
    elif attack == "offset":
        rows += 1000 * scale * normal(d, seed=seed + 1)
    elif attack == "equal":
        rows[: (n + 1) // 2] = rows[0].clone()
    elif attack == "huge":
        rows[:hostile] = 1e30 * normal(hostile, d, seed=seed + 1)
    return torch.stack([through(row, wire) for row in rows])


def through(row: torch.Tensor, wire: WireType) -> torch.Tensor:
    return from_wire(to_wire(row, wire), wire)


def judged(rows: torch.Tensor, value: torch.Tensor, tau: float, wire: WireType, residual: float) -> tuple[float, float]:
    """|sum of the scalars| and the tolerance for it, where nobody lies."""
    d = len(value)
    projection = Projection(b"after the commitments", Partition(d, 1, wire))
    measures = projection.rows(0, list(rows), value)
    error = aggregate_error(projection.aggregate_norms([value])[0], d, wire)
    tolerance = float(sum_tolerance([measure.norm for measure in measures], tau, residual=residual, error=error))
    return abs(sum(clipped(measure, tau) for measure in measures)), tolerance


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("d", SIZES)
def test_honest_aggregates_pass_always(d: int, attack: str, wire: WireType) -> None:
    for seed, relative in enumerate(TAUS):
        for scale in (1e-6, 1.0):
            n = 1 + (7 * seed + d) % 16
            rows = column(attack, n, d, seed, scale, wire)
            tau = relative * scale * math.sqrt(d)
            value = through(centered_clip(rows, tau=tau).value, wire)
            total, tolerance = judged(rows, value, tau, wire, 1e-6)
            assert total <= tolerance, (n, relative, scale)


@pytest.mark.parametrize("attack", ["none", "sign flip", "common direction"])
def test_a_long_honest_aggregate_passes(attack: str) -> None:
    rows = column(attack, 16, 200_000, 5, 1.0, WireType.FLOAT32)
    tau = 0.5 * math.sqrt(200_000)
    total, tolerance = judged(rows, centered_clip(rows, tau=tau).value, tau, WireType.FLOAT32, 1e-6)
    assert total <= tolerance


@pytest.mark.parametrize("wire", WIRES)
def test_an_honest_mean_passes(wire: WireType) -> None:
    for seed in range(20):
        rows = column("offset", 9, 500, seed, 1.0, wire)
        value = through(Mean().aggregate(rows, n_byzantine=0).value, wire)
        total, tolerance = judged(rows, value, math.inf, wire, 0.0)
        assert total <= tolerance


def caught(attack: str, wire: WireType, d: int, relative_tau: float, shift: float, threshold: float) -> float:
    """The share of shifted aggregates whose sum exceeds `threshold` times the tolerance."""
    hits, seeds = 0, 300
    for seed in range(seeds):
        rows = column(attack, 16, d, seed, 1.0, wire)
        tau = relative_tau * math.sqrt(d)
        direction = normal(d, seed=seed + 99)
        wrong = centered_clip(rows, tau=tau).value + shift * tau * direction / direction.norm()
        total, tolerance = judged(rows, through(wrong, wire), tau, wire, 1e-6)
        hits += total > threshold * tolerance
    return hits / seeds


@pytest.mark.parametrize("attack", ["none", "sign flip", "common direction"])
@pytest.mark.parametrize("relative_tau", [0.3, 1.0, 3.0])
def test_a_shift_by_a_hundredth_of_tau_is_caught(attack: str, relative_tau: float) -> None:
    assert caught(attack, WireType.FLOAT32, 1000, relative_tau, 0.01, 2.0) > 0.95


def test_coarse_wires_hide_only_shifts_of_their_rounding() -> None:
    assert caught("none", WireType.FLOAT16, 1000, 1.0, 0.05, 2.0) > 0.95
    assert caught("none", WireType.BFLOAT16, 1000, 1.0, 0.5, 2.0) > 0.95


def test_wire_errors_are_within_their_bound() -> None:
    for seed, log_scale in enumerate(np.linspace(-9, 4, 40)):
        for wire in (WireType.FLOAT16, WireType.BFLOAT16):
            value = (normal(300, seed=seed) * 10**log_scale).clamp(-65504, 65504)
            sent = through(value, wire)
            error = float((value.double() - sent.double()).norm())
            bound = aggregate_error(float(sent.double().norm()), 300, wire)
            assert error <= bound
            # Not by luck: a float16 or bfloat16 rounding is no more than a few times below the bound.
            assert error >= bound / 6 or (wire is WireType.FLOAT16 and log_scale < -7)


@pytest.mark.parametrize("wire", [WireType.FLOAT16, WireType.BFLOAT16])
def test_the_constants_are_the_unit_roundoffs(wire: WireType) -> None:
    roundoff = torch.finfo(dtype_of(wire)).eps / 2
    just_above_the_middle = torch.tensor([1 + roundoff])
    assert float((just_above_the_middle - through(just_above_the_middle, wire)).abs()) == roundoff
    assert aggregate_error(1.0, 0, wire) == pytest.approx(roundoff, rel=0.01)
    assert aggregate_error(0.0, 4, WireType.FLOAT16) == torch.finfo(torch.float16).smallest_normal * 2.0**-10


def test_clipping() -> None:
    assert clipped(Measure(3.0, 2.0), 1.0) == 1.5
    assert clipped(Measure(3.0, 2.0), 2.0) == clipped(Measure(3.0, 2.0), math.inf) == 3.0
    assert clipped(Measure(0.0, 0.0), 1.0) == 0.0
    assert math.isnan(clipped(Measure(math.nan, math.nan), 1.0))


@settings(derandomize=True)
@given(
    st.integers(1, 200), st.integers(0, 2**32), st.floats(-15, 15), st.one_of(st.floats(1e-20, 1e25), st.just(math.inf))
)
def test_no_vector_breaks_the_hard_bound(d: int, seed: int, log_scale: float, tau: float) -> None:
    projection = Projection(b"%d" % seed, Partition(d, 1, WireType.FLOAT32))
    z = projection.direction(0).float()
    for row in (normal(d, seed=seed), z, -z):
        row = row * 10**log_scale
        measure = projection.row(0, row, torch.zeros(d))
        assert within_bound(clipped(measure, tau), measure.norm, tau, projection.norm(0), LONGEST)
    # The last row is along z and so at the bound: a thousandth more is beyond it.
    assert not within_bound(1.001 * clipped(measure, tau), measure.norm, tau, projection.norm(0), LONGEST)


@pytest.mark.parametrize(
    ("s", "norm"),
    [
        (math.nan, 1.0),
        (1.0, math.nan),
        (0.0, math.inf),
        (math.inf, 1.0),
        (0.0, -1.0),
        (0.1, 0.0),
        (31.0, 10.0),
        (0.0, 100.1),
    ],
)
def test_impossible_claims(s: float, norm: float) -> None:
    assert not within_bound(s, norm, tau=math.inf, z_norm=3.0, longest=100.0)
    assert within_bound(0.0, 0.0, tau=math.inf, z_norm=3.0, longest=100.0)
    assert within_bound(29.0, 10.0, tau=math.inf, z_norm=3.0, longest=100.0)
    assert not within_bound(29.0, 10.0, tau=9.0, z_norm=3.0, longest=100.0)


def test_honest_scalars_are_plausible_and_large_ones_are_not() -> None:
    row, zero = normal(500), torch.zeros(500)
    for seed in range(500):
        measure = Projection(b"%d" % seed, Partition(500, 1, WireType.FLOAT32)).row(0, row, zero)
        for tau in (1.0, math.inf):
            assert plausible(clipped(measure, tau), measure.norm, tau)
    assert plausible(-5.9, 1.0, 2.0) and not plausible(-6.1, 1.0, 2.0) and not plausible(6.1, 2.0, 1.0)
    assert not plausible(math.nan, 1.0, 1.0) and not plausible(1.0, math.inf, 1.0) and plausible(0.0, 0.0, 1.0)


@pytest.mark.parametrize("d", [1000, 200_000])
@pytest.mark.parametrize("adversarial", [False, True])
def test_any_order_of_measuring_stays_far_within_tolerance(d: int, adversarial: bool) -> None:
    projection = Projection(b"order", Partition(d, 1, WireType.FLOAT32))
    z = projection.direction(0)
    # Equal terms are the worst for a sum of squares, terms of one sign the worst for a projection.
    row = torch.full((d,), 0.1) * z.sign().float() if adversarial else normal(d)
    measure = projection.row(0, row, torch.zeros(d))
    for order in (torch.arange(d), torch.arange(d).flip(0), torch.randperm(d)):
        products, squares = (z * row)[order].numpy(), row.double().square()[order].numpy()
        # A cumulative sum adds one term after another: no order of additions is worse.
        other = Measure(float(np.cumsum(products)[-1]), math.sqrt(np.cumsum(squares)[-1]))
        for tau in (1.0, math.inf):
            tolerance = measure_tolerance(measure.norm, tau)
            # A row that was chosen after z is out of the protocol's hands: its product is far larger than its norm.
            allowed = tolerance * math.sqrt(d) if adversarial else tolerance / 10
            assert abs(clipped(measure, tau) - clipped(other, tau)) <= allowed
        assert abs(measure.norm - other.norm) <= norm_tolerance(measure.norm) / 10


def test_the_sketch_estimates_the_distance() -> None:
    d, count, tau = 4000, 20, 10.0
    partition = Partition(d, count, WireType.FLOAT32)
    own = [normal(d // count, seed=part) for part in range(count)]
    other = [row + 0.3 * normal(d // count, seed=part + 50) for part, row in enumerate(own)]
    aggregates = [torch.zeros(d // count)] * count
    true = math.sqrt(sum(float((a - b).double().square().sum()) for a, b in zip(own, other, strict=True)))
    squares = []
    for seed in range(100):
        projection = Projection(b"%d" % seed, partition)
        claims = [(clipped(m, tau), m.norm) for m in projection.vector(own, aggregates)]
        recomputed = projection.vector(other, aggregates)
        same = [(*claim, m) for claim, m in zip(claims, projection.vector(own, aggregates), strict=True)]
        assert sketch_distance(same, tau) == 0.0
        distance = sketch_distance([(*claim, m) for claim, m in zip(claims, recomputed, strict=True)], tau)
        assert 0.4 * true < distance < 2.0 * true
        squares.append(distance**2)
    # The larger of two estimates is biased upwards a little.
    assert 0.9 < math.sqrt(np.mean(squares)) / true < 1.15


def test_the_sketch_of_odd_claims() -> None:
    assert sketch_distance([], 1.0) == 0.0
    assert sketch_distance([(0.0, 0.0, Measure(0.0, 0.0))], 1.0) == 0.0
    assert sketch_distance([(0.0, 5.0, Measure(0.0, 1.0))], 1.0) == 4.0 - norm_tolerance(1.0)
    assert sketch_distance([(3.0, 0.0, Measure(0.0, 0.0))], math.inf) == pytest.approx(3.0, rel=1e-15)
    # A lie of a clipped row counts as the row that it claims, not as the part of it that clipping left.
    assert sketch_distance([(1.0, 8.0, Measure(2.0, 8.0))], 2.0) == 2.0 - measure_tolerance(8.0, math.inf)
    for bad in (math.nan, math.inf):
        for claim in ((bad, 1.0, Measure(0.0, 1.0)), (0.0, bad, Measure(0.0, 1.0)), (0.0, 1.0, Measure(bad, bad))):
            assert sketch_distance([claim, (0.0, 1.0, Measure(0.0, 1.0))], 1.0) == math.inf
    assert sketch_distance([(1e300, 1e300, Measure(0.0, 1.0))], 1e-300) == math.inf


def test_the_tolerance_of_a_sum_weighs_rows_by_clip_factor() -> None:
    measuring = 2 * measure_tolerance(1.0, 1.0)
    assert sum_tolerance([], 1.0, residual=1e-6, error=1.0) == 0.0
    assert sum_tolerance([1.0, 1.0], 1.0, residual=1e-6, error=0.0) == pytest.approx(8 * 2e-6 + measuring)
    # Clipped rows move with the aggregate only by tau / norm, and never by more than twice tau.
    assert sum_tolerance([1000.0], 1.0, residual=0.0, error=1e-3) == pytest.approx(8e-6 + measuring / 2, rel=0.1)
    assert sum_tolerance([1.0], 1.0, residual=0.0, error=1e9) == pytest.approx(16.0, rel=1e-5)
    assert sum_tolerance([5.0, 7.0], math.inf, residual=0.0, error=0.5) == pytest.approx(8.0, rel=1e-4)
