"""What the published scalars of a step may be: pure functions of floats.

For the row of peer i in part j, with the aggregate a of the part and r = ||g_i[j] - a||, peers publish r and
s = <z[j], g_i[j] - a> min(1, tau / r). At the fixed point of CenteredClip the s of a part add up to zero (BTARD, arXiv
2106.11257, verifications 1 to 3). All numbers are float64, also on the way.

A function called `..._excess` measures one offence: how many times its tolerance a number is off. Accuser, judge and
offline verifier call the same one; `thresholds` says what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from btard.verification.projection import Measure
from btard.verification.thresholds import SCALARS
from btard.vocabulary import WireType

DEVIATIONS = 8.0
"""Standard deviations of <z, e> that an honest error is granted: exceeded with a probability below 2.6e-14."""

PLAUSIBLE_DEVIATIONS = 6.0
"""Standard deviations of s beyond which it is worth a check."""

DOUBTFUL = 2.0
"""How many times farther than tau, and than zero, an aggregate must lie from a row to be doubted (verification 3)."""

_GRANTED = 4.0
"""How many times the largest honest difference of two aggregates the tolerance is."""

HONEST_SHARE = 10.0
"""How many times the largest distance of honest vectors `accuse` is; `btard calibrate` writes it so."""

# What two machines may differ by that sum in different orders, four times over; see `measure_tolerance`.
_MEASURING = 2.0**-16
_MEASURING_NORMS = 2.0**-13
# Four roundings of the aggregate to float32: one is inherent, the solver may stop at its own estimate of it.
_SOLVING = 2.0**-22
# Half a step of each wire type: relative to a number, and at least.
_ROUNDING = {
    WireType.FLOAT32: (0.0, 0.0),
    WireType.FLOAT16: (2.0**-11, 2.0**-25),
    WireType.BFLOAT16: (2.0**-8, 0.0),
}
# Machines that flush denormal float32 numbers to zero lose 2^-126 a coordinate: 3e-30 in a projection of 2^27 numbers.
_TINY = 1e-29
_SLACK = 1 + 1e-6
# What false norms that verification 1 tolerates, and the norm of an aggregate to a thousandth, may move a limit by.
_MOVED_LIMIT = 1 + 2.0**-9


def clipped(measure: Measure, tau: float) -> float:
    """Return s = min(1, tau / norm) * projection; 0 for the norm 0. tau > 0 may be infinite."""
    return _factor(measure.norm, tau) * measure.projection


def within_bound(s: float, norm: float, tau: float, z_norm: float, longest: float) -> bool:
    """Return whether (s, norm) can be true at all: finite, 0 <= norm <= longest, |s| <= min(tau, norm) ||z||
    (Cauchy-Schwarz).

    `z_norm`: a bound on the norm of z in the part; `longest`: twice the norm of the longest row that can travel. Both
    bounds are hard, up to rounding: no vector breaks them, and all that look at the same bytes find the same.
    """
    if not (math.isfinite(s) and 0 <= norm <= longest * _SLACK):
        return False
    return abs(s) <= min(tau, norm) * z_norm * _SLACK + _TINY


def plausible(s: float, norm: float, tau: float) -> bool:
    """Return whether |s| is below 6 times min(tau, norm), its standard deviation over the randomness.

    A vector that was committed before the randomness fails with a probability below 2 exp(-18) = 3.1e-8 a part; so a
    failure is a reason to check and no proof. False for numbers that are not finite.
    """
    if not (math.isfinite(s) and math.isfinite(norm)):
        return False
    return abs(s) <= PLAUSIBLE_DEVIATIONS * min(tau, norm) * _SLACK + _TINY


def doubtful(norm: float, row_norm: float, tau: float) -> bool:
    """Return whether an aggregate lies too far from a row: an honest one of noisy rows is about as far as zero is.

    `row_norm`: of the row itself. Doubts are published and counted; nobody is accused by them.
    """
    return norm > DOUBTFUL * tau and norm > DOUBTFUL * row_norm


def measure_tolerance(norm: float, tau: float) -> float:
    """Return four times what two honest computations of s from the same bytes may differ by, on any two machines.

    The difference of two float32 numbers is rounded once and alike everywhere. What differs is the order of summation
    in pieces of 128 products in float32; the sums of pieces are added in float64. z was drawn after the bytes were
    fixed, so in <z, x> the roundings are errors of random sign, about 2^-24 ||x||. The clip factor has the error of
    the norm, which is no chance where rows were chosen to round badly: at most 2^-21.4 where 16 or more lanes add up,
    so 2^-18.4 tau between two machines at |s| = 4 tau. 2^-16 min(norm, tau) is granted.
    """
    return _MEASURING * min(norm, tau) + _TINY


def norm_tolerance(norm: float) -> float:
    """Return at least four times what two honest computations of a norm from the same bytes may differ by.

    A float32 sum of 128 squares has a relative error below 2^-17 in whatever order, so the norm one below 2^-18. 2^-13
    is granted, since nothing hangs on the last digits of a norm.
    """
    return _MEASURING_NORMS * norm + _TINY


def scalars_excess(product: float, norm: float, true: tuple[float, float], tau: float) -> float:
    """Return how many times their tolerance a published product or norm is from `true`, (product, norm) as measured on
    the row's bytes (verification 1, witness, validator). NaN where the row has no such numbers."""
    off_product = abs(product - true[0]) / measure_tolerance(true[1], tau)
    off_norm = abs(norm - true[1]) / norm_tolerance(true[1])
    return math.nan if math.isnan(off_product + off_norm) else max(off_product, off_norm)


def length_excess(length: float, limit: float, count: int, wire: WireType) -> float:
    """Return a part's length in units of the longest that a sender which keeps to `limit` may send
    (BTARD-Clipped-SGD): clipping rounds twice in float32, the wire type once more.

    `length`: of the part as it travels, by `length_of`; `limit`: infinite for no such rule; `count`: numbers in it.
    """
    if limit == math.inf:
        return 0.0
    longest = limit + _rounding(limit, count, wire)
    return length / longest if longest > 0 else (math.inf if length > 0 else 0.0)


def aggregate_error(aggregate_norm: float, length: int, wire: WireType) -> float:
    """Return a bound on ||a - b||: a is the aggregate as published, b one that the solver would call exact.

    `aggregate_norm`: ||a||; `length`: numbers in the part. Rounding to the wire type has a relative error of 2^-11 for
    float16 (11 bits of significand) and 2^-8 for bfloat16 (8 bits), and for float16 numbers below 2^-14 an absolute one
    of 2^-25 (half its smallest number) instead. Aggregates are convex combinations of rows that travelled in the same
    type, so none is beyond its range.
    """
    return _rounding(aggregate_norm, length, wire)


def sum_tolerance(
    norms: ArrayLike, tau: float, *, residual: float, error: ArrayLike, granted: float = 1.0
) -> NDArray[np.float64]:
    """Return what |sum_i s_i| of an honest owner's part can be: exceeded with a probability below 2.6e-14.

    norms: all r_i of a part, finite, (n,), or of several, (n, parts). residual: the relative residual that the rule
    promises (`tol` of `centered_clip`; 0 for the mean, which is the rule with tau = infinity). error:
    `aggregate_error` of the part or parts. granted: the units of `measure_tolerance` by which each s_i may be off.

    The sum is <z, e> for e = sum_i (x_i - a) min(1, tau / r_i), and z was drawn after a, so that it stays within
    8 ||e||. The solver leaves ||e|| <= residual * sum_i min(r_i, tau), by the definition of its residual. An error in a
    moves a summand by at most itself times its clip factor, which is at most tau / (r_i - error), and by at most 2 tau.
    """
    norms, error = np.asarray(norms, dtype=np.float64), np.asarray(error, dtype=np.float64)
    short = np.minimum(norms, tau)
    factors = 1.0 if tau == math.inf else tau / np.maximum(norms - error, tau)
    moved = np.minimum(error * factors, 2 * tau) * np.ones_like(short)
    measured = granted * (_MEASURING * short + _TINY)
    total: NDArray[np.float64] = DEVIATIONS * (residual * short + moved).sum(0) + measured.sum(0)
    return total


def published_sum_tolerance(norms: ArrayLike, tau: float, *, residual: float, error: ArrayLike) -> NDArray[np.float64]:
    """Return what a sum of *published* products of an honest owner's part can be, by published norms (verification 2).

    Beside what `sum_tolerance` allows for, each s_i may be a lie that the owner had to let pass: all of them together
    are granted what verification 1 accuses beyond, and the limit allows for the same of the norms it is made of.
    """
    granted = 1.0 + SCALARS.accuse
    return _MOVED_LIMIT * sum_tolerance(norms, tau, residual=residual, error=error, granted=granted)


def sum_excess(products: Iterable[float], tolerance: float) -> float:
    """Return how many times its tolerance the sum of a part's published products is off zero (verification 2)."""
    off = abs(math.fsum(products))
    return off / tolerance if tolerance > 0 else (math.inf if off > 0 else 0.0)


def recomputation_excess(
    difference: float, lengths: Sequence[float], size: float, count: int, wire: WireType, accuracy: float
) -> float:
    """Return how many times its tolerance a published aggregate is off the one that the rows of its part give.

    Two machines that follow one rule differ by at most `accuracy` times the median length of the rows, which a minority
    cannot make longer than honest rows are, and the published one was rounded once more (`aggregate_error`). Four times
    the sum of both is granted, so an honest owner's excess is at most a quarter, by whatever machine.

    Args:
        difference: between the two, the second one not rounded to the wire type.
        lengths: of the rows that were aggregated; none is a zero.
        size: length of the recomputed aggregate, and `count` how many numbers it has.
        accuracy: of the rule (`Rule.accuracy`).
    """
    typical = float(np.median(lengths)) if lengths else 0.0
    return difference / (_GRANTED * (accuracy * typical + _rounding(size, count, wire)) + _TINY)


def sketch_distance(pairs: Sequence[tuple[float, float, Measure]], tau: float) -> float:
    """Estimate ||g - g'|| from (claimed s, claimed norm, recomputed measure of g') for each part.

    s over its clip factor is the claimed <z, g - a>, so its difference p - p' from the recomputed projection is
    <z, g - g'>, whose square is ||g - g'||^2 in the mean. The norms differ by at most ||g - g'||, which holds without
    chance and for parts where chance made p - p' small: D^2 = sum over parts of max((p - p')^2, (norm - norm')^2).

    What two machines may measure differently is taken off each difference: around an aggregate that lies far from all
    rows it is longer than the rows. Infinity as soon as a number is not finite. A claimed norm of 0 has the factor 1,
    so a claimed s with it counts in full.
    """
    terms = []
    for s, norm, measure in pairs:
        claimed = s * max(1.0, norm / tau)
        if not all(map(math.isfinite, (claimed, norm, *measure))):
            return math.inf
        off_product = abs(claimed - measure.projection) - measure_tolerance(measure.norm, math.inf)
        terms.append(max(0.0, off_product, abs(norm - measure.norm) - norm_tolerance(measure.norm)))
    return math.hypot(*terms)


def distance_excess(distance: float, size: float, length: int, wire: WireType, accuse: float) -> float:
    """Return a vector's `sketch_distance` relative to its norm `size`, in the unit of the run's limits: as if it had
    not been rounded to the wire type.

    Honest vectors differ by at most `accuse` / 10 of their norm, delta, before they are rounded (`btard calibrate`). A
    number that lies delta_k from its twin is rounded to another one with the chance delta_k / step_k, and then a step
    away. So the square of their distance grows by sum_k delta_k step_k, at most by 2 w delta relative to the square of
    the norm, w being half a step: by the factor 1 + 2 w / delta.

    `length`: numbers in the vector. 0 for two vectors of zeros, infinite if only one is.
    """
    if not size > 0:
        return math.inf if distance > 0 else 0.0
    relative, absolute = _ROUNDING[wire]
    half_step = relative + absolute * math.sqrt(length) / size
    return distance / size / math.sqrt(1 + 2 * HONEST_SHARE * half_step / accuse)


def _factor(norm: float, tau: float) -> float:
    """min(1, tau / norm)."""
    return 1.0 if norm <= tau else tau / norm


def _rounding(norm: float, length: int, wire: WireType) -> float:
    """Bound on what rounding a part of so many numbers to float32 and to the wire type moves it by."""
    relative, absolute = _ROUNDING[wire]
    # The exact part may be longer than the rounded one by the error itself; the last term pays for that.
    return norm * (_SOLVING + relative * (1 + 2 * relative)) + absolute * math.sqrt(length)
