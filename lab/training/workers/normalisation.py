"""Batch normalisation among many workers: running statistics are taken anew for every evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

_Norm = nn.modules.batchnorm._BatchNorm


def _norms(model: nn.Module) -> list[_Norm]:
    return [module for module in model.modules() if isinstance(module, _Norm)]


def without_running_statistics(model: nn.Module) -> None:
    """Let layers of batch normalisation use every batch's own statistics, and remember none."""
    _forget(_norms(model))


def _forget(norms: Iterable[_Norm]) -> None:
    for norm in norms:
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None


@contextmanager
def statistics_from(loss: nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]) -> Iterator[None]:
    """Inside, a model is in evaluation mode, with the mean statistics of `batches`; afterwards as before.

    Args:
        loss: what is computed on each batch; the model is inside.
        batches: of training samples, which a public seed should decide; read only for a model with such layers.
    """
    norms = [norm for norm in _norms(loss) if not norm.track_running_stats]
    was_training = loss.training
    loss.eval()
    for norm in norms:
        where = norm.weight.device if norm.weight is not None else None
        norm.track_running_stats, norm.momentum = True, None  # None: the mean over all batches
        norm.running_mean = torch.zeros(norm.num_features, device=where)
        norm.running_var = torch.ones(norm.num_features, device=where)
        norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=where)
        norm.train()
    try:
        with torch.no_grad():
            for batch in batches if norms else ():
                loss(batch)
            loss.eval()
            yield
    finally:
        loss.train(was_training)
        _forget(norms)
