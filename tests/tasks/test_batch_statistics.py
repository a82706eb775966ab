"""Batch normalisation keeps no state, and is evaluated with statistics of public batches."""

from __future__ import annotations

import torch
from torch import nn

from btard.tasks.base import Batch
from btard.tasks.batch_statistics import freeze_statistics, normalising, recomputed_statistics


def model_of() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    freeze_statistics(model)
    return model


def batches(count: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [Batch({"inputs": 5 + torch.randn(16, 3, generator=generator)}, 16) for _ in range(count)]


def buffers(model: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_training_moves_no_buffer() -> None:
    model = model_of().train()
    before = buffers(model)
    outputs = model(batches()[0].tensors["inputs"])
    assert equal(before, buffers(model))
    assert abs(float(outputs.detach().mean())) < 1e-5, "a batch is normalised by itself"


def test_statistics_are_the_means_over_the_batches() -> None:
    model, seen = model_of().eval(), batches()
    inputs = [model[0](batch.tensors["inputs"]) for batch in seen]
    with recomputed_statistics(model, seen, lambda batch: model(batch.tensors["inputs"])):
        first = normalising(model)[0]
        torch.testing.assert_close(first.running_mean, torch.stack([x.mean(0) for x in inputs]).mean(0))
        torch.testing.assert_close(first.running_var, torch.stack([x.var(0) for x in inputs]).mean(0))
        second = normalising(model)[1]
        assert second.running_mean is not None and float(second.running_mean.abs().max()) < 1e-4, "nothing is dropped"


def test_everything_is_as_before_afterwards() -> None:
    model = model_of().eval()
    before = buffers(model)
    try:
        with recomputed_statistics(model, batches(), lambda batch: model(batch.tensors["inputs"])):
            assert not equal(before, buffers(model))
            raise RuntimeError
    except RuntimeError:
        pass
    assert equal(before, buffers(model))
    assert all(not layer.track_running_stats and not layer.training for layer in normalising(model))


def test_without_batches_mean_and_variance_stay() -> None:
    model = model_of().eval()
    before = buffers(model)
    with recomputed_statistics(model, [], lambda batch: None):
        assert equal(before, buffers(model))


def test_a_model_without_normalisation_draws_nothing() -> None:
    drawn = []
    with recomputed_statistics(nn.Linear(3, 4), iter(batches()), drawn.append):
        pass
    assert drawn == []
