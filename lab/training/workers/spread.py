"""How training samples are dealt to workers: the same to all, or each its own share of labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from btard.errors import UserError
from btard.lab.training.heterogeneity import check_spread

Indices = NDArray[np.int64]


def deal(text: str, labels: Indices, workers: int, draws: np.random.Generator) -> list[Indices] | None:
    """Return the samples of each worker, at least one, or None where all draw from all.

    `dirichlet`: each class is cut in shares drawn from Dirichlet(alpha) (Hsu, Qi, Brown, arXiv 1909.06335). `gamma`: a
    share `similarity` of all samples is dealt evenly, the rest in the order of labels (Karimireddy et al., arXiv
    1910.06378). `sorted`: all in the order of labels.

    Args:
        text: as `check_spread` reads it.
        labels: (N,) of the training samples.
        draws: decides the rest.
    """
    kind, parameters = check_spread(text)
    if kind == "iid":
        return None
    if len(labels) < workers:
        raise UserError(f"{len(labels)} training samples cannot be dealt to {workers} workers")
    if kind == "dirichlet":
        return _dirichlet(labels, workers, parameters["alpha"], draws)
    even = round(len(labels) * parameters.get("similarity", 0.0))
    shuffled = draws.permutation(len(labels))
    rest = shuffled[even:][np.argsort(labels[shuffled[even:]], kind="stable")]
    pairs = zip(np.array_split(shuffled[:even], workers), np.array_split(rest, workers), strict=True)
    return _nobody_without([np.concatenate(pair) for pair in pairs])


def _dirichlet(labels: Indices, workers: int, alpha: float, draws: np.random.Generator) -> list[Indices]:
    shares: list[list[Indices]] = [[] for _ in range(workers)]
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        cuts = (np.cumsum(draws.dirichlet(np.full(workers, alpha)))[:-1] * len(members)).astype(np.int64)
        for share, piece in zip(shares, np.split(members, cuts), strict=True):
            share.append(piece)
    return _nobody_without([np.concatenate(share) for share in shares])


def _nobody_without(shares: list[Indices]) -> list[Indices]:
    """Let workers without a sample have one of those that have most: a worker must compute on something."""
    for index, share in enumerate(shares):
        if not len(share):
            richest = max(range(len(shares)), key=lambda other: len(shares[other]))
            shares[index], shares[richest] = shares[richest][-1:], shares[richest][:-1]
    return shares
