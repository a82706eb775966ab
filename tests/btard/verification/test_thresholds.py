"""Each line of the table of thresholds, played from both sides: what honest peers reach, and what accuses."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.aggregation import CenteredClip, centered_clip, make_rule
from btard.aggregation.coordinate.mean import Mean
from btard.round.actions import AggregateAgain
from btard.round.rules import AggregationRules
from btard.round.work.rows import compare_again, encode_parts, row_length_excess
from btard.vectors.partition import Partition, from_wire, to_wire
from btard.verification.projection import PIECE, Measure, Projection, length_of, norm_of
from btard.verification.scalars import (
    aggregate_error,
    clipped,
    distance_excess,
    length_excess,
    measure_tolerance,
    norm_tolerance,
    published_sum_tolerance,
    scalars_excess,
    sketch_distance,
    sum_excess,
)
from btard.verification.thresholds import COVER_UP, FIXED_POINT, LENGTH, RECOMPUTED, SCALARS, SUM, Thresholds, gradient
from btard.vocabulary import WireType

ROOT = Path(__file__).parents[3]
WIRES = st.sampled_from(list(WireType))
SEEDS = st.integers(0, 2**40)
# What two honest machines measure differently, in units of each excess, at the place of its limits.
NOISE = {"SCALARS": 0.25, "SUM": 2.0**-9, "FIXED_POINT": 1e-6, "RECOMPUTED": 0.25, "LENGTH": 2.0**-25}
TABLE = {"SCALARS": SCALARS, "SUM": SUM, "FIXED_POINT": FIXED_POINT, "RECOMPUTED": RECOMPUTED, "LENGTH": LENGTH}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def through(row: torch.Tensor, wire: WireType) -> torch.Tensor:
    return from_wire(to_wire(row, wire), wire)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_limits_lie_farther_apart_than_machines_measure(name: str) -> None:
    limits, noise = TABLE[name], NOISE[name]
    edges = [edge * (1 + tiny) for edge in (limits.acquit, limits.convict, limits.accuse) for tiny in (0, 1e-12)]
    for excess in [*np.linspace(0.0, 2 * limits.accuse, 4001).tolist(), *edges]:
        for other in (excess - noise, excess + noise):
            if limits.accuses(excess):
                assert limits.convicts(other)
            if limits.convicts(excess):
                assert not limits.acquits(other)
    assert COVER_UP - NOISE["SCALARS"] > SCALARS.accuse


@pytest.mark.parametrize("limits", [(0.0, 1.0, 2.0), (1.0, 1.0, 2.0), (0.5, 2.0, 2.0)])
def test_limits_in_another_order_are_refused(limits: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="acquit < convict < accuse"):
        Thresholds(*limits)


def test_what_is_no_number_accuses_and_is_not_acquitted_of() -> None:
    assert SUM.accuses(math.nan) and SUM.convicts(math.nan) and not SUM.acquits(math.nan)
    assert math.isnan(scalars_excess(0.0, 1.0, (math.nan, math.nan), 1.0))
    assert math.isnan(scalars_excess(0.0, 1.0, (0.0, math.inf), 1.0))


def test_the_documents_table_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text().split("### Thresholds")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`.* \| ([^|]+) \| ([^|]+) \| ([^|]+) \| `([^`]+)` \|$", text, re.MULTILINE)
    found = {name: (acquit, convict, accuse) for name, acquit, convict, accuse, _ in rows}
    assert found.keys() >= TABLE.keys() | {"COVER_UP", "GRADIENT"}

    def number(cell: str) -> float:
        base, _, power = cell.strip().partition(" + 2^-")
        return float(base) + (2.0 ** -int(power) if power else 0.0)

    for name, limits in TABLE.items():
        assert tuple(map(number, found[name])) == (limits.acquit, limits.convict, limits.accuse)
    assert float(found["COVER_UP"][1]) == COVER_UP
    for *_, test in rows:
        path, name = test.split("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


# Verification 1: products and norms.


@pytest.mark.parametrize("d", [1000, 40_000, 200_001])
@pytest.mark.parametrize("shape", ["noise", "equal", "growing", "one large", "denormal"])
def test_machines_measure_within_a_quarter_of_the_tolerance(shape: str, d: int) -> None:
    row = {
        "noise": normal(d),
        "equal": torch.full((d,), 0.1),
        "growing": torch.linspace(0, 1, d),
        "one large": torch.cat([torch.tensor([1e4]), torch.full((d - 1,), 0.3)]),
        "denormal": 1e-40 * normal(d),
    }[shape]
    zero = torch.zeros(d)
    projection = Projection(b"after the bytes", Partition(d, 1, WireType.FLOAT32))
    measure = projection.row(0, row, zero)
    z = projection.direction(0)
    terms = (z * row.double()).numpy()
    exact = Measure(math.fsum(terms.tolist()), math.sqrt(math.fsum((row.double() ** 2).tolist())))
    # A machine without lanes adds one number after another, in float32, piece by piece.
    whole = d // PIECE * PIECE
    squares = np.cumsum((row * row)[:whole].numpy().reshape(-1, PIECE), axis=1, dtype=np.float32)[:, -1]
    slow = math.sqrt(float(squares.sum(dtype=np.float64)) + float((row[whole:].double() ** 2).sum()))
    if shape != "denormal":
        assert abs(measure.norm - slow) <= 0.25 * norm_tolerance(measure.norm)
    for tau in (1e-3 * exact.norm, exact.norm, math.inf):
        true = (clipped(exact, tau), exact.norm)
        assert scalars_excess(clipped(measure, tau), measure.norm, true, tau) <= 0.25
        assert SCALARS.acquits(scalars_excess(clipped(measure, tau), measure.norm, true, tau))


# Verification 2: the sum of a column.


def honest_column(n: int, d: int, kind: str, far: float, wire: WireType, seed: int) -> torch.Tensor:
    """(n, d) rows of which the first (n - 1) // 2 are a coalition's, as they arrive."""
    b = (n - 1) // 2
    rows = normal(n, d, seed=seed) + normal(d, seed=seed + 1)
    shared = normal(d, seed=seed + 2)
    for i in range(b):
        match kind:
            case "far":
                rows[i] *= far
            case "cancelling":
                rows[i] += (-1) ** i * far * shared
            case "cluster":
                rows[i] = rows[-1] + far * shared
            case "equal":
                rows[i] = rows[-1]
            case "axis":
                rows[i] = far * torch.eye(1, d)[0]
    return torch.stack([through(row, wire) for row in rows])


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.sampled_from([3, 4, 8, 16, 33, 64]),
    st.sampled_from([1, 5, 40, 600]),
    st.sampled_from(["far", "cancelling", "cluster", "equal", "axis"]),
    st.floats(-4, 4),
    st.floats(-2, 4),
    WIRES,
    st.booleans(),
    SEEDS,
)
def test_tolerated_lies_never_convict_an_honest_owner(
    n: int, d: int, kind: str, log_tau: float, log_far: float, wire: WireType, mean: bool, seed: int
) -> None:
    rows = honest_column(n, d, kind, 10**log_far, wire, seed)
    tau = math.inf if mean else math.sqrt(d) * 10**log_tau
    value = through((Mean() if mean else CenteredClip(tau)).aggregate(rows, n_byzantine=0).value, wire)
    projection = Projection(b"after", Partition(d, 1, wire))
    measures = projection.rows(0, list(rows), value)
    error = aggregate_error(projection.aggregate_norms([value])[0], d, wire)
    residual = 0.0 if mean else 1e-6
    true = [clipped(measure, tau) for measure in measures]
    sign = math.copysign(1.0, math.fsum(true))
    # Everybody but the owner, the last, lies as far as the owner accuses nobody, the norms making the limit smaller.
    lies = [s + sign * SCALARS.accuse * measure_tolerance(m.norm, tau) for s, m in zip(true, measures, strict=True)]
    norms = [m.norm - SCALARS.accuse * norm_tolerance(m.norm) for m in measures]
    products, norms = [*lies[:-1], true[-1]], [*norms[:-1], measures[-1].norm]
    limit = float(published_sum_tolerance(norms, tau, residual=residual, error=error))
    assert SUM.acquits(sum_excess(products, limit))
    # Just beyond: an owner whose sum is off by so much more is accused, whatever the others lie.
    products[-1] += sign * (SUM.accuse * limit - abs(math.fsum(products))) * (1 + 1e-9) + sign * 1e-300
    products[-1] += sign * 1e-12 * limit
    assert SUM.accuses(sum_excess(products, limit))


# Verification 3: the fixed point itself.


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.sampled_from([3, 8, 33]),
    st.sampled_from([1, 5, 600]),
    st.sampled_from(["far", "cancelling", "cluster", "equal", "axis"]),
    st.floats(-3, 3),
    WIRES,
    SEEDS,
)
def test_honest_aggregates_balance_and_shifted_ones_do_not(
    n: int, d: int, kind: str, log_tau: float, wire: WireType, seed: int
) -> None:
    rows = honest_column(n, d, kind, 100.0, wire, seed)
    tau = math.sqrt(d) * 10**log_tau
    rules = AggregationRules("centered_clip", tau, 1)
    value = through(centered_clip(rows, tau=tau).value, wire)
    payloads = tuple(to_wire(row, wire) for row in rows)

    def excess(aggregate: torch.Tensor) -> float:
        action = AggregateAgain(0, rules, Partition(d, 1, wire), 0, payloads, to_wire(aggregate, wire))
        return compare_again(action)

    honest = excess(value)
    assert FIXED_POINT.acquits(4 * honest)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert excess(value) == pytest.approx(honest, rel=1e-6, abs=1e-9)
    finally:
        torch.set_num_threads(threads)
    spread = float((rows - value).norm(dim=1).max())
    assert FIXED_POINT.accuses(excess(value + 10 * (spread + float(value.norm()) + 1) / math.sqrt(d)))


# Rules whose result no sum proves: the aggregate beside that of the same rows.


@settings(max_examples=120, derandomize=True, deadline=None)
@given(
    st.sampled_from(["coordinate_median", "trimmed_mean", "trimmed_mean:share=0.49"]),
    st.sampled_from([1, 2, 3, 8, 16, 33]),
    st.sampled_from([1, 5, 600]),
    st.sampled_from(["far", "cancelling", "cluster", "equal", "axis"]),
    st.floats(-3, 6),
    WIRES,
    SEEDS,
)
def test_a_recomputed_aggregate_is_judged_within_rounding(
    name: str, n: int, d: int, kind: str, far: float, wire: WireType, seed: int
) -> None:
    rows = honest_column(n, d, kind, 10**far, wire, seed)
    rule, rules = make_rule(name), AggregationRules(name, 1.0, 1)
    value = rule.aggregate(rows, n_byzantine=rule.tolerated(n)).value
    payloads = tuple(to_wire(row, wire) for row in rows)
    away = normal(d, seed=seed + 7)
    away /= away.norm()

    def excess(aggregate: torch.Tensor) -> float:
        action = AggregateAgain(0, rules, Partition(d, 1, wire), 0, payloads, to_wire(aggregate, wire))
        return compare_again(action)

    typical = rule.accuracy * float(rows.double().norm(dim=1).median())
    rounding = aggregate_error(float(value.double().norm()), d, wire)
    assert excess(value) <= 0.25
    assert excess(value + typical * away) <= 0.26, "as far as another machine's may be"
    tolerance = 4 * (float(np.median(rows.double().norm(dim=1).numpy())) * rule.accuracy + rounding)
    assert RECOMPUTED.accuses(excess(value + 2.4 * tolerance * away)), "rounded once more"


# BTARD-Clipped-SGD: the length of a part.


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 9),
    st.floats(-6, 3),
    st.sampled_from(["noise", "equal", "rounds up", "one"]),
    WIRES,
    SEEDS,
)
def test_what_an_honest_sender_clips_is_never_too_long(
    d: int, count: int, log_limit: float, shape: str, wire: WireType, seed: int
) -> None:
    rules = AggregationRules("centered_clip", 1.0, count, max_norm=10**log_limit)
    half_up = 1 + 2.0**-8 + 2.0**-20
    vector = {
        "noise": normal(d, seed=seed),
        "equal": torch.full((d,), 1.0),
        "rounds up": torch.full((d,), half_up),
        "one": torch.eye(1, d)[0],
    }[shape]
    for scale in (1.0, 1e3, 10**log_limit, 10**log_limit / math.sqrt(d)):
        parts, _ = encode_parts(vector * scale, count, wire, rules)
        for part in parts:
            excess = row_length_excess(from_wire(part, wire), rules.part_norm(count), wire)
            assert LENGTH.acquits(excess), (scale, excess)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(2, 5000), st.floats(-3, 3), st.sampled_from(["acquit", "convict", "accuse"]), SEEDS)
def test_a_part_on_the_edge_of_clip_is_judged_alike_by_all(d: int, log_limit: float, edge: str, seed: int) -> None:
    limit = 10**log_limit
    row = normal(d, seed=seed)
    row *= getattr(LENGTH, edge) / row_length_excess(row, limit, WireType.FLOAT32)
    here = row_length_excess(row, limit, WireType.FLOAT32)
    unit = length_excess(1.0, limit, d, WireType.FLOAT32)
    # Any other order of adding, even in float32, moves it by less than the limits lie apart.
    others = [
        unit * length_of(row.flip(0)),
        unit * norm_of(row.numpy()),
        unit * float(torch.linalg.vector_norm(row)),
        unit * math.sqrt(math.fsum((row.double() ** 2).tolist())),
    ]
    for other in others:
        assert abs(other - here) < 2.0**-14
        assert LENGTH.convicts(other) or not LENGTH.accuses(here)
        assert not LENGTH.acquits(other) or not LENGTH.convicts(here)


def test_without_a_limit_nothing_is_too_long() -> None:
    assert length_excess(math.inf, math.inf, 5, WireType.FLOAT32) == 0.0
    assert LENGTH.accuses(length_excess(1e-3, 0.0, 5, WireType.FLOAT32))


# Validators: the distance of a vector.


@pytest.mark.parametrize("d, far", [(3000, 1e6), (200_000, 1e5)])
def test_a_far_aggregate_makes_no_honest_vector_guilty(d: int, far: float) -> None:
    limits = gradient(accuse=1e-4, convict=5e-5)
    partition = Partition(d, 4, WireType.FLOAT32)
    bounds = [partition.bounds(part) for part in range(4)]
    ours = normal(d)
    # Another machine's gradient of the same seed: a thousandth of what is accused of.
    theirs = ours + 1e-7 * normal(d, seed=1)
    away = far * normal(d, seed=2)
    cut = [[vector[start:stop] for start, stop in bounds] for vector in (ours, theirs, away)]
    for seed in range(10):
        for tau in (1.0, math.inf):
            projection = Projection(b"%d" % seed, partition)
            claims = [(clipped(m, tau), m.norm) for m in projection.vector(cut[0], cut[2])]
            pairs = [(*claim, m) for claim, m in zip(claims, projection.vector(cut[1], cut[2]), strict=True)]
            assert limits.acquits(sketch_distance(pairs, tau) / float(ours.norm()))


@pytest.mark.parametrize("size", [1e-5, 1.0])
@pytest.mark.parametrize("accuse", [1e-4, 2e-3, 0.05])
@pytest.mark.parametrize("wire", list(WireType))
def test_honest_differences_after_rounding_are_acquitted(wire: WireType, accuse: float, size: float) -> None:
    limits, d, count = gradient(accuse=accuse, convict=accuse / 2), 20_000, 8
    partition = Partition(d, count, wire)
    bounds = [partition.bounds(part) for part in range(count)]
    away = 0.7 * size * normal(d, seed=7)

    def excess(relative: float, seed: int) -> float:
        ours = size * normal(d, seed=seed)
        theirs = ours + relative * size * normal(d, seed=seed + 1)
        cut = [[through(v, wire)[start:stop] for start, stop in bounds] for v in (ours, theirs, away)]
        projection = Projection(b"%d" % seed, partition)
        claims = [(clipped(m, 1.0), m.norm) for m in projection.vector(cut[0], cut[2])]
        pairs = [(*claim, m) for claim, m in zip(claims, projection.vector(cut[1], cut[2]), strict=True)]
        norm = length_of(torch.cat(cut[1]))
        return distance_excess(sketch_distance(pairs, 1.0), norm, d, wire, accuse)

    for seed in range(8):
        assert limits.acquits(excess(accuse / 10, seed))
        # A lie is seen once it is longer than rounding makes of what is tolerated.
        assert limits.accuses(excess(20 * accuse + 8 * math.sqrt(accuse * 2.0**-8 / (1 if size == 1 else 1e-5)), seed))


def test_a_vector_as_long_as_its_aggregate_is_measured_as_before() -> None:
    limits = gradient(accuse=0.05, convict=0.025)
    partition = Partition(4000, 8, WireType.FLOAT32)
    bounds = [partition.bounds(part) for part in range(8)]
    true, away = normal(4000), 0.5 * normal(4000, seed=1)
    for off, accused in ((0.005, False), (0.1, True)):
        false = true + off * normal(4000, seed=2)
        cut = [[vector[start:stop] for start, stop in bounds] for vector in (false, true, away)]
        projection = Projection(b"after", partition)
        claims = [(clipped(m, 1.0), m.norm) for m in projection.vector(cut[0], cut[2])]
        pairs = [(*claim, m) for claim, m in zip(claims, projection.vector(cut[1], cut[2]), strict=True)]
        relative = sketch_distance(pairs, 1.0) / float(true.norm())
        assert limits.accuses(relative) is accused and limits.acquits(relative) is not accused
