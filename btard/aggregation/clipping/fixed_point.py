"""The CenteredClip fixed point in coefficient space: n numbers instead of n vectors.

Every iterate is a convex combination v = sum_i p_i x_i, so all distances follow from p and the Gram matrix of the rows'
differences from one origin. Here nothing has length d, and everything is float64.

NumPy's BLAS is avoided: its threads spin for a while after a call, and halve the speed of the torch passes between the
solves on a machine with few cores.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


_TRY_EVERY_ROW = 8
# Iterations without progress after which the residual is rounding noise: another origin helps then, not more steps.
_PATIENCE = 17
_RESOLUTION = 1e-7


@dataclass(frozen=True)
class Geometry:
    """What the solve needs to know about n rows x_i.

    `gram` is (n, n): inner products of d_i = (x_i - origin) / scale_i. `scale` is (n,): powers of two, 1 for ordinary
    rows; they keep rows near the end of the float32 range from overflowing, while the float64 here has room for them.
    """

    gram: Matrix
    scale: Vector


@dataclass(frozen=True)
class Solution:
    """`p` (n,) sums to 1; `clip` (n,) is min(1, tau / r_i) at p, `distance` (n,) is r_i; `residual`
    bounds the relative residual at p."""

    p: Vector
    clip: Vector
    distance: Vector
    residual: float
    iterations: int


@dataclass(frozen=True)
class _Point:
    p: Vector
    r: Vector
    clip: Vector
    image: Vector
    residual: float


def solve(geometry: Geometry, *, tau: float, weights: Vector, tol: float, max_iterations: int) -> Solution:
    """Solve sum_i w_i (x_i - v) min(1, tau / r_i) = 0 for the coefficients of v, r_i = ||x_i - v||.

    The step is p_i <- w_i clip_i / sum_j w_j clip_j (iteratively reweighted, Weiszfeld); the paper's step divides by n
    instead and has the same fixed points (arXiv 2012.10333, CenteredClip; arXiv 2106.11257, equation of the fixed
    point). Two shortcuts compete with it in every iteration and are taken only when they leave a smaller residual, so
    they cost nothing in robustness: a Newton step, and the step as if the nearest rows were inside tau (the solution
    may sit on a row, where reweighting alone crawls).

    The problem is convex, so the start decides the speed and not the answer; it is nevertheless a robust one, the mean
    of the half of the rows (by weight) that lies nearest to the row with the smallest median distance. Between two far
    crowds of equal weight the loss is all but flat, and that start crawls; then each row in turn is another one.
    """
    # Distances are differences of squares here, and the inside of tau cannot be told from rounding around a far row.
    near_enough = (weights > 0) & (_RESOLUTION * geometry.scale * np.sqrt(geometry.gram.diagonal()) < tau)
    best = _descend(_robust_start(geometry, weights), geometry, tau, weights, near_enough, tol, max_iterations)
    for row in np.flatnonzero(near_enough):
        if best.residual <= tol or tau == np.inf:
            break
        start = np.eye(len(weights))[row]
        rival = _descend(start, geometry, tau, weights, near_enough, tol, max_iterations)
        spent = best.iterations + rival.iterations
        best = replace(rival if rival.residual < best.residual else best, iterations=spent)
    return best


def _descend(
    start: Vector,
    geometry: Geometry,
    tau: float,
    weights: Vector,
    near_enough: NDArray[np.bool_],
    tol: float,
    max_iterations: int,
) -> Solution:
    """Go down from one start until the residual is within `tol`, or no progress is made any more."""
    point = best = _evaluate(start, geometry, tau, weights)
    iterations = stalled = 0
    while best.residual > tol and iterations < max_iterations and stalled < _PATIENCE:
        iterations += 1
        following = _evaluate(point.image, geometry, tau, weights)
        if iterations % _TRY_EVERY_ROW:
            near_rows = [int(np.argmin(np.where(near_enough, following.r, np.inf)))]
        else:
            near_rows = [int(row) for row in np.flatnonzero(near_enough)]
        trials = [_newton(following, geometry, weights), *(np.eye(len(weights))[row] for row in near_rows)]
        for trial in trials:
            # One reweighting step makes the trial a convex combination again, and its residual comparable.
            rival = _evaluate(_evaluate(trial, geometry, tau, weights).image, geometry, tau, weights)
            if rival.residual < following.residual:
                following = rival
        point = following
        stalled = 0 if point.residual < 0.9 * best.residual else stalled + 1
        if point.residual < best.residual:
            best = point
    return Solution(best.p, best.clip, best.r, best.residual, iterations)


def clip_factors(distances: Vector, tau: float) -> Vector:
    """min(1, tau / r_i) for (n,) distances, 1 where r_i is 0."""
    if tau == np.inf:
        return np.ones_like(distances)
    return tau / np.maximum(distances, tau)


def weighted_median(values: Vector, weights: Vector) -> float:
    """The lower weighted median of (n,) values: the smallest one that at least half of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])


def _evaluate(p: Vector, geometry: Geometry, tau: float, weights: Vector) -> _Point:
    scale = geometry.scale
    a = p * scale
    g = (geometry.gram * a).sum(1)
    squares = scale * (scale * geometry.gram.diagonal() - 2 * g) + a @ g
    r = np.sqrt(np.maximum(squares, 0.0))
    clip = clip_factors(r, tau)
    weighted = weights * clip
    total = weighted.sum()
    image = weighted / total
    size = weighted @ r
    residual = float(total * (np.abs(image - p) @ r) / size) if size > 0 else 0.0
    return _Point(p, r, clip, image, residual)


def _newton(point: _Point, geometry: Geometry, weights: Vector) -> Vector:
    """The semismooth Newton step of the Huber-type loss whose gradient the fixed-point equation is, as coefficients.

    With unit vectors u_j = (x_j - v) / r_j the Hessian is S I - sum over clipped j of w_j clip_j u_j u_j^T, where
    S = sum_j w_j clip_j; the step lies in the span of the u_j, so it is an n x n system.
    """
    scale = geometry.scale
    a = point.p * scale
    g = (geometry.gram * a).sum(1)
    r = np.where(point.r > 0, point.r, 1.0)
    inner = geometry.gram * np.outer(scale, scale) - np.add.outer(scale * g, scale * g) + a @ g
    cosines = np.clip(inner / np.outer(r, r), -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    weighted = weights * point.clip
    total = weighted.sum()
    curvature = np.where(point.clip < 1.0, weighted, 0.0)
    # Collinear clipped rows make the Hessian singular; a hair on the diagonal turns that into a step to be refused.
    system = total * (1 + 1e-12) * np.eye(len(r)) - curvature[:, None] * cosines
    step = torch.linalg.solve(torch.from_numpy(system), torch.from_numpy(weighted * r)).numpy() / r
    return (1 - step.sum()) * point.p + step


def _robust_start(geometry: Geometry, weights: Vector) -> Vector:
    scale = geometry.scale
    full = geometry.gram * np.outer(scale, scale)
    squares = np.add.outer(full.diagonal(), full.diagonal()) - 2 * full
    medians = [weighted_median(row, weights) for row in squares]
    centre = int(np.argmin(medians))
    near = np.where(squares[centre] <= medians[centre], weights, 0.0)
    return near / near.sum()
