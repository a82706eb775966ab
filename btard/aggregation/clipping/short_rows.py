"""CenteredClip of short rows: Newton's method on the value itself, in float64.

Where all rows together fit in a cache, the passes of `chunks` and the Gram matrix cost more than the arithmetic. Here
nothing is squared but distances, and no product of two float32 numbers leaves the range of float64, so no scaling is
needed. What comes out is measured on its own bytes; if that is not good enough, the long way is still open.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

MOST_NUMBERS = 32768
"""Numbers in all rows together up to which this pays."""

_MOST_STEPS = 40
"""Steps after which the other way is tried; a handful is usual."""


@dataclass(frozen=True)
class ShortSolution:
    """`value`: (d,) float32; `steps`: Newton or reweighting steps; `residual` relative, as of `CenteredClipResult`;
    `n_clipped`: rows farther than tau from the value."""

    value: torch.Tensor
    steps: int
    residual: float
    n_clipped: int


@dataclass(frozen=True)
class _Point:
    """A value v (d,) and what the rows pull it by: `difference` (n, d) is x_i - v, `distance` (n,) its norms, `factors`
    (n,) are w_i min(1, tau / r_i), `pull` (d,) their sum; `size` is the sum of the lengths of what is summed."""

    value: Vector
    difference: Matrix
    distance: Vector
    factors: Vector
    pull: Vector
    size: float
    residual: float


def solve_short(
    rows: torch.Tensor, *, tau: float, weights: Vector, tol: float, most_steps: int
) -> ShortSolution | None:
    """Solve sum_i w_i (x_i - v) min(1, tau / r_i) = 0 for (n, d) finite float32 rows and (n,) weights; None if the
    residual of the float32 result is not within `tol`, or within its own rounding, after `most_steps` steps.

    The equation says that the gradient of a convex loss is zero (Huber's, of the distances), so the start decides only
    the speed. It is the median of every coordinate, which a minority of the rows cannot move far.
    """
    x = np.array(rows.numpy(), dtype=np.float64, order="C")  # in one order in memory: it decides how sums round
    point = _at(np.median(x[weights > 0], axis=0), x, tau, weights)
    steps = 0
    while point.residual > tol / 10 and steps < min(most_steps, _MOST_STEPS):
        steps += 1
        best = _at(point.value + point.pull / point.factors.sum(), x, tau, weights)
        if best.residual > tol / 10:
            rival = _at(point.value + _newton(point, tau), x, tau, weights)
            best = rival if rival.residual < best.residual else best
        point = best
    with np.errstate(over="ignore"):
        value = point.value.astype(np.float32)
    result = _at(value.astype(np.float64), x, tau, weights)
    rounding = result.factors.sum() * float(np.sqrt(np.einsum("i,i->", result.value, result.value))) * 2.0**-24
    if not result.residual <= max(tol, rounding / result.size if result.size else 0.0):
        return None
    return ShortSolution(torch.from_numpy(value), steps, result.residual, int((result.distance > tau).sum()))


def _at(value: Vector, x: Matrix, tau: float, weights: Vector) -> _Point:
    with np.errstate(invalid="ignore", over="ignore"):  # a Newton step may lead anywhere; its residual is then NaN
        difference = x - value
        distance = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        factors = weights if math.isinf(tau) else weights * (tau / np.maximum(distance, tau))
        # einsum calls no BLAS: its threads would spin on a machine with few cores.
        pull = np.einsum("i,ij->j", factors, difference)
        size = float(np.einsum("i,i->", factors, distance))
        length = math.sqrt(float(np.einsum("i,i->", pull, pull)))
    residual = length / size if size > 0 else (0.0 if size == 0 else math.inf)
    return _Point(value, difference, distance, factors, pull, size, residual if residual == residual else math.inf)


def _newton(point: _Point, tau: float) -> Vector:
    """The step (S I - A^T A)^-1 pull: S is the sum of the factors, and the (k, d) A holds the unit vectors towards the
    clipped rows times the roots of their factors. The smaller of the systems in d and in k numbers is solved."""
    clipped = point.distance > tau
    total = float(point.factors.sum())
    pull = torch.tensor(point.pull)
    if not clipped.any():
        return point.pull / total
    scale = np.sqrt(point.factors[clipped]) / point.distance[clipped]
    # Fresh tensors are aligned alike, and equal bytes then give equal roundings.
    outward = torch.tensor(point.difference[clipped] * scale[:, None])
    k, d = outward.shape
    # Rows in one direction make the system singular; a hair on the diagonal turns that into a step to be refused.
    diagonal = total * (1 + 1e-12) * torch.eye(min(k, d), dtype=torch.float64)
    if d <= k:
        step, _ = torch.linalg.solve_ex(diagonal - outward.T @ outward, pull)
    else:
        inner, _ = torch.linalg.solve_ex(diagonal - outward @ outward.T, outward @ pull)
        step = (pull + outward.T @ inner) / total
    return step.numpy()
