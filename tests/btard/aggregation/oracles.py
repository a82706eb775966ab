"""The rules as textbooks write them: float64, whole arrays, every subset. Slow, and the oracles of the fast ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Oracle = Callable[[Rows, int], NDArray[np.float64]]


def distances(x: Rows) -> Rows:
    return np.sqrt(((x[:, None] - x[None]) ** 2).sum(2))


def first_best(scores: NDArray[np.float64], count: int) -> list[int]:
    return sorted(sorted(range(len(scores)), key=lambda i: (scores[i], i))[:count])


def krum_scores(apart: Rows, neighbours: int) -> NDArray[np.float64]:
    return np.array([sum(sorted(np.delete(row, i))[:neighbours]) for i, row in enumerate(apart)])


def krum_rows(x: Rows, f: int, m: int = 1) -> list[int]:
    return first_best(krum_scores(distances(x) ** 2, len(x) - f - 2), m)


def legacy_krum_rows(x: Rows, f: int) -> list[int]:
    n = len(x)
    return first_best(krum_scores(distances(x), n - f - 1), max(1, n - f - 2))


def bulyan(x: Rows, f: int) -> NDArray[np.float64]:
    left, chosen = list(range(len(x))), []
    for _ in range(len(x) - 2 * f):
        scores = krum_scores(distances(x[left]) ** 2, max(1, len(left) - f - 2))
        chosen.append(left.pop(first_best(scores, 1)[0]))
    few = x[sorted(chosen)]
    return nearest(few, np.median(few, axis=0), len(x) - 4 * f)


def legacy_bulyan(x: Rows, f: int) -> NDArray[np.float64]:
    n = len(x)
    scores = krum_scores(distances(x), n - f - 2)
    order = sorted(range(n), key=lambda i: (scores[i], i))
    means = []
    for r in range(n - 2 * f - 2):
        means.append(x[order[: n - f - 2 - r]].mean(0))
        order = order[1:]
    few = np.array(means)
    return nearest(few, np.sort(few, axis=0)[(len(few) - 1) // 2], n - 4 * f - 2)


def nearest(x: Rows, centre: NDArray[np.float64], keep: int) -> NDArray[np.float64]:
    """Of every coordinate, the mean of the values nearest to a centre; of two at one distance the lower one."""
    found = []
    for values, middle in zip(x.T, centre, strict=True):
        found.append(np.mean(sorted(values, key=lambda value: (abs(value - middle), value))[:keep]))
    return np.array(found)


def trimmed_mean(x: Rows, f: int) -> NDArray[np.float64]:
    return np.sort(x, axis=0)[f : len(x) - f].mean(0)


def lower_median(x: Rows) -> NDArray[np.float64]:
    return np.sort(x, axis=0)[(len(x) - 1) // 2]


def mda_rows(x: Rows, f: int) -> list[int]:
    apart = distances(x)
    subsets = itertools.combinations(range(len(x)), len(x) - f)
    return list(min(subsets, key=lambda chosen: (apart[list(chosen)][:, list(chosen)].max(), chosen)))


def nearest_rows(x: Rows, origin: NDArray[np.float64], count: int) -> list[int]:
    return first_best(((x - origin) ** 2).sum(1), count)


def caf(x: Rows, f: int) -> NDArray[np.float64]:
    n = len(x)
    weights, best, least = np.ones(n), x.mean(0), np.inf
    while True:
        mean = weights @ x / weights.sum()
        values, vectors = np.linalg.eigh(((x - mean) * (weights / weights.sum())[:, None]).T @ (x - mean))
        if values[-1] < least:
            best, least = mean, values[-1]
        along = ((x - mean) @ vectors[:, -1]) ** 2
        farthest = along[weights > 0].max()
        if farthest <= 1e-300:
            return best
        weights = weights * np.maximum(1 - along / farthest, 0)
        if weights.sum() <= n - 2 * f:
            return best


def farthest_along_spread(x: Rows) -> NDArray[np.float64]:
    _, _, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return ((x - x.mean(0)) @ directions[0]) ** 2


def nearest_neighbour_mixing(x: Rows, f: int) -> Rows:
    keep = len(x) - f
    mixed = []
    for i, row in enumerate(distances(x)):
        row[i] = -1.0
        mixed.append(x[first_best(row, keep)].mean(0))
    return np.array(mixed)


def adaptive_clipping(x: Rows, f: int) -> Rows:
    lengths = np.linalg.norm(x, axis=1)
    most = np.sort(lengths)[::-1][2 * f * (len(x) - f) // len(x)]
    return x * np.minimum(1, most / np.maximum(lengths, 1e-300))[:, None]
