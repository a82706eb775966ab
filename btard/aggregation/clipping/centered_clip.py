"""CenteredClip to its fixed point, in two or more passes over the rows whatever the number of iterations.

Rows that are short take another way to the same point, see `short_rows`; the last bits may be others on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from btard.aggregation.chunks import Deviations, ShiftedRows
from btard.aggregation.clipping.fixed_point import Geometry, Solution, clip_factors, solve
from btard.aggregation.clipping.short_rows import MOST_NUMBERS, solve_short
from btard.aggregation.rows import CheckedRows, Rows, check_rows, check_weights, formed_rows
from btard.aggregation.rule import AggregationResult, FixedPoint, Rule

SOLVER_RESIDUAL = 1e-6
"""Relative residual to which the equation is solved; a verifier of a result allows for it."""

_SAMPLED_RUNS = 16
_SAMPLED_RUN_LENGTH = 16
# A bad origin at the end of the float32 range needs about this many rounds to come home, 3 digits in each.
_MAX_ROUNDS = 14
_LARGEST_FACTOR = 2.0**100
# How many times the least median of squared distances that of the origin may be: more cost digits, and another round.
_FOOLED = 64.0


@dataclass(frozen=True)
class CenteredClip(Rule):
    """CenteredClip at its fixed point (arXiv 2012.10333).

    Attributes:
        tau: the clipping radius, a length: rows farther from the result pull it no more than rows at this distance.
    """

    tau: Annotated[float, Field(gt=0)] = 0.01

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the fixed point; how many rows may lie makes no difference."""
        result = centered_clip(rows, tau=self.tau)
        return AggregationResult(result.value, result.residual)

    @property
    def equation(self) -> FixedPoint:
        """The rule is its own equation."""
        return FixedPoint(radius=self.tau, residual=SOLVER_RESIDUAL)

    def scaled(self, factor: float) -> Self:
        """Return the rule with a radius that grows with the parts."""
        return replace(self, tau=self.tau * factor)


@dataclass(frozen=True)
class CenteredClipResult:
    """`value`: (d,) float32. `iterations`: steps in coefficient space, over all rounds. `n_clipped`: rows farther than
    tau from the value.

    `residual`: an upper bound, measured on the bytes of `value`, for
    ||sum_i w_i (x_i - v) min(1, tau / r_i)|| / sum_i w_i min(r_i, tau), with r_i = ||x_i - v||: the length of the sum
    relative to the sum of the lengths, between 0 and 1 for the exact quantity, and 0 when all rows equal v.
    """

    value: torch.Tensor
    iterations: int
    residual: float
    n_clipped: int


@torch.no_grad()
def centered_clip(
    x: Rows,
    *,
    tau: float,
    weights: Sequence[float] | torch.Tensor | NDArray[np.float64] | None = None,
    tol: float = SOLVER_RESIDUAL,
    max_iterations: int = 100,
) -> CenteredClipResult:
    """The v with sum_i w_i (x_i - v) min(1, tau / ||x_i - v||) = 0 (CenteredClip, arXiv 2012.10333, at convergence as
    BTARD uses it, arXiv 2106.11257).

    x: (n, d) float32, or n rows of shape (d,) in separate buffers, on the CPU; any finite values, up to 3.4e38.
    tau: the clipping radius, in the unit of the rows; infinity gives the weighted mean.
    weights: (n,) finite and not negative; they multiply the clipped rows, and default to ones.
    tol: the relative residual to reach. It cannot fall much below 6e-8 ||v|| / (mean distance of the rows from v),
    where the float32 of the result ends; the residual that was reached is reported in either case.
    max_iterations: cap on the steps of one round.

    The same rows in the same order give the same bytes.

    Raises BadRow (a ValueError with the row's `index`) for a row or weight that cannot be used, ValueError for a tau
    that is not above zero and for everything else that is malformed.
    """
    if not tau > 0:
        raise ValueError(f"tau must be above zero, not {tau}")
    rows = formed_rows(x)
    normalised = check_weights(weights, len(rows))
    if len(rows) * rows.dimension <= MOST_NUMBERS:
        short = solve_short(check_rows(x).stacked, tau=tau, weights=normalised, tol=tol, most_steps=max_iterations)
        if short is not None:
            return CenteredClipResult(short.value, short.steps, short.residual, short.n_clipped)
    shifted, gram = _first_view(rows)
    best: CenteredClipResult | None = None
    nearest = np.full(len(rows), math.inf)
    iterations = 0
    for turn in range(_MAX_ROUNDS):
        geometry = Geometry(shifted.gram() if turn else gram, shifted.scale)
        solution = solve(geometry, tau=tau, weights=normalised, tol=tol / 10, max_iterations=max_iterations)
        iterations += solution.iterations
        multipliers, unit = _multipliers(solution, normalised, np.ones(len(rows)))
        value, deviations = shifted.combine(solution.p, multipliers / unit)
        # Distances are only as good as the origin is close: the value itself is the origin to measure and go on from.
        before, shifted = shifted, shifted.seen_from(value)
        if not (before.plain and shifted.plain):
            multipliers, unit = _multipliers(solution, normalised, shifted.scale)
            deviations = shifted.measure(multipliers / unit)
        residual, floor = _residual(deviations, multipliers, unit, tau, normalised)
        progress = best is None or residual < best.residual / 2 or (deviations.distance < nearest / 2).any()
        if best is None or residual < best.residual:
            best = CenteredClipResult(value, iterations, residual, int((deviations.distance > tau).sum()))
        if residual <= max(tol, floor) or not progress:
            break
        nearest = np.minimum(nearest, deviations.distance)
    assert best is not None
    return replace(best, iterations=iterations)


def _first_view(rows: CheckedRows) -> tuple[ShiftedRows, NDArray[np.float64]]:
    """The rows seen from a central one, and their products.

    The pass that makes the products also finds out whether all numbers are finite and of ordinary size, and whether the
    sample that the choice goes by has been fooled: only then another pass looks at the rows for that.

    Raises BadRow.
    """
    central = _central_row(rows)
    if central is not None:
        shifted = ShiftedRows(rows, rows.rows[central], plain=True)
        gram = shifted.gram()
        if shifted.are_plain(gram):
            medians = np.median(_squares_between(gram), axis=1)
            if medians[central] <= _FOOLED * medians.min():
                return shifted, gram
    check_rows(rows.rows)
    shifted = ShiftedRows(rows, rows.rows[_central_row(rows, rows.magnitude) or 0])
    return shifted, shifted.gram()


def _central_row(rows: CheckedRows, reach: NDArray[np.float64] | None = None) -> int | None:
    """A row that a minority cannot make a bad origin at no cost: the smallest median distance on a sample of columns,
    among the half of least reach, (n,), which is that on the sample unless it is given. None if it is not finite.

    A row that hides its size outside the sample only costs further rounds, since the result is measured in full.
    """
    d = rows.dimension
    length = min(d, _SAMPLED_RUN_LENGTH)
    starts = np.unique(np.linspace(0, d - length, _SAMPLED_RUNS).astype(int))
    columns = (starts[:, None] + np.arange(length)).ravel()
    sample = np.array([row.numpy()[columns] for row in rows.rows], dtype=np.float64)
    reach = np.abs(sample).max(axis=1) if reach is None else reach
    if not np.isfinite(reach).all():
        return None
    products = np.einsum("ik,jk->ij", sample, sample)
    medians = np.median(_squares_between(products), axis=1)
    return int(np.argmin(np.where(reach <= np.median(reach), medians, np.inf)))


def _squares_between(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (n, n) squared distances of rows with these inner products."""
    squares = products.diagonal()
    between: NDArray[np.float64] = np.add.outer(squares, squares) - 2 * products
    return between


def _multipliers(
    solution: Solution, weights: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The (n,) factors w_i clip_i of the solution, and the unit in which the longest contribution has length 1.

    The unit keeps the float32 sum of the contributions in range. So does the limit on the factors; it only touches rows
    that lie on the solution, and whatever it takes from them is counted in the residual.
    """
    factors = weights * solution.clip
    unit = float(np.max(factors * solution.distance)) or 1.0
    return np.minimum(factors, _LARGEST_FACTOR * unit / scale), unit


def _residual(
    deviations: Deviations, multipliers: NDArray[np.float64], unit: float, tau: float, weights: NDArray[np.float64]
) -> tuple[float, float]:
    """The relative residual at the origin of the deviations (an upper bound), and what float32 rounding explains of it.

    The imbalance was measured with the solver's factors; by the triangle inequality the factors that follow from the
    measured distances can add no more than their difference times the distance, row by row.
    """
    distance = deviations.distance
    factors = weights * clip_factors(distance, tau)
    size = factors @ distance
    if size == 0:
        return 0.0, 0.0
    slack = np.abs(factors - multipliers) @ distance
    rounding = factors.sum() * deviations.norm * 2.0**-24
    return float((deviations.imbalance * unit + slack) / size), float(rounding / size)
