"""The direction in which n rows spread the most, from their squared distances, with the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_SQUARINGS = 24
"""Of the matrix: its power of 2^24 tells eigenvalues apart that differ by a millionth."""


def largest_spread(squared: Matrix, weights: Vector) -> tuple[float, Vector]:
    """Return the largest eigenvalue of the weighted covariance sum_i w_i (x_i - mu)(x_i - mu)^T, and the squared
    projections ((x_i - mu)^T v)^2 of all rows on its eigenvector v.

    Args:
        squared: (n, n) squared distances of the rows x_i.
        weights: (n,) w, not negative, of sum 1; mu is the weighted mean.
    """
    around = _products_around_mean(squared, weights)
    roots = np.sqrt(weights)
    value, vector = _top(around * roots[:, None] * roots)
    if value <= 0:
        return 0.0, np.zeros(len(squared))
    along = _times(around, (roots * vector)[:, None])[:, 0]
    return value, along * along / value


def _products_around_mean(squared: Matrix, weights: Vector) -> Matrix:
    """Return (n, n) the inner products of the x_i - mu: -1/2 (D_ij - (D w)_i - (D w)_j + w^T D w)."""
    towards = _times(squared, weights[:, None])
    whole = _times(weights[None, :], towards)[0, 0]
    return -0.5 * (squared - towards - towards.T + whole)


def _top(matrix: Matrix) -> tuple[float, Vector]:
    """Return the largest eigenvalue of a positive semidefinite matrix, and a unit eigenvector.

    Squaring it again and again leaves little but that direction in all columns, of which the longest is taken.
    """
    scale = float(np.abs(matrix).max())
    if scale == 0:
        return 0.0, np.zeros(len(matrix))
    power = matrix / scale
    for _ in range(_SQUARINGS):
        power = _times(power, power)
        power /= float(np.abs(power).max())
    column = power[:, int(np.argmax(power.diagonal()))]
    vector = column / np.sqrt(_times(column[None, :], column[:, None])[0, 0])
    value = _times(_times(vector[None, :], matrix / scale), vector[:, None])[0, 0]
    return float(value) * scale, vector


def _times(left: Matrix, right: Matrix) -> Matrix:
    """Return the matrix product, summed in the order of the inner index."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for index in range(left.shape[1]):
        total += left[:, index, None] * right[index]
    return total
