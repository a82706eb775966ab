"""Attacks that spoil a vector or the labels of a batch by themselves."""

from __future__ import annotations

import math

import torch

from btard.byzantine.gradients.attack import DataAttack, GradientAttack
from btard.byzantine.gradients.registry import make_attack
from btard.tasks.base import IGNORED_LABEL, Batch
from tests.byzantine.gradients.helpers import ATTACKERS, D, knowing, rows


def made(text: str) -> GradientAttack:
    attack = make_attack(text)
    assert isinstance(attack, GradientAttack)
    return attack


def test_nan_is_nothing_but_nan() -> None:
    assert bool(made("nan").vectors(knowing()).isnan().all())
    mixed = made("nan:infinite=true").vectors(knowing())
    assert bool(mixed[::2].isnan().all()) and bool(mixed[1::2].isinf().all())


def test_the_direction_follows_its_seed_and_the_mean_its_length() -> None:
    one = made("constant_direction").vectors(knowing(rows(1), seed=1))
    other = made("constant_direction").vectors(knowing(rows(2), seed=2))
    moved = made("constant_direction:seed=667").vectors(knowing(rows(1)))
    torch.testing.assert_close(one / one.norm(), other / other.norm())
    torch.testing.assert_close(one.norm(), 1000 * rows(1).mean(0).norm())
    assert abs(float(torch.cosine_similarity(one, moved, dim=0))) < 0.9


def test_noise_is_drawn_for_each_attacker_around_the_mean() -> None:
    known = rows(size=20_000)
    noise = made("noise:std=3").vectors(knowing(known)) - known.mean(0)
    assert noise.shape == (ATTACKERS, 20_000)
    assert all(abs(float(row.std()) - 3.0) < 0.1 for row in noise)
    assert abs(float(torch.cosine_similarity(noise[0], noise[1], dim=0))) < 0.05


def test_relative_noise_is_measured_in_deviations() -> None:
    known = rows(size=20_000)
    noise = made("noise:std=2,scale=relative").vectors(knowing(known)) - known.mean(0)
    assert abs(float((noise / known.std(0)).std()) - 2.0) < 0.05


def test_delayed_means_are_as_old_as_stated() -> None:
    attack = made("delayed:delay=3")
    for step in range(3):
        attack.observe(knowing(step=step))
    for step in range(3, 9):
        assert torch.equal(attack.vectors(knowing(step=step)), rows(step - 3).mean(0))
    assert len(attack.state()["steps"]) == 4


def test_a_short_past_gives_its_oldest_mean() -> None:
    attack = made("delayed:delay=1000")
    assert torch.equal(attack.vectors(knowing(step=0)), rows(0).mean(0))
    assert torch.equal(attack.vectors(knowing(step=7)), rows(0).mean(0))


def labels_of(text: str, batch: Batch, seed: int = 0) -> torch.Tensor:
    attack = make_attack(text)
    assert isinstance(attack, DataAttack)
    spoiled = attack.spoiled(batch, flipped, torch.Generator().manual_seed(seed))
    assert spoiled.samples == batch.samples
    assert torch.equal(spoiled.tensors["images"], batch.tensors["images"])
    return spoiled.tensors["labels"]


def flipped(batch: Batch) -> Batch:
    labels = batch.tensors["labels"]
    return batch.replaced(labels=torch.where(labels == IGNORED_LABEL, labels, 9 - labels))


def batch_of(count: int = 4000) -> Batch:
    return Batch({"images": torch.arange(float(count)), "labels": torch.arange(count) % 10}, count)


def test_labels_are_flipped_as_the_task_says() -> None:
    batch = batch_of()
    assert torch.equal(labels_of("label_flip", batch), 9 - batch.tensors["labels"])


def test_shuffled_labels_are_the_same_labels_elsewhere() -> None:
    batch = batch_of()
    labels = labels_of("label_shuffle", batch)
    assert torch.equal(labels.sort().values, batch.tensors["labels"].sort().values)
    assert float((labels == batch.tensors["labels"]).float().mean()) < 0.2
    assert not torch.equal(labels, labels_of("label_shuffle", batch, seed=1))


def test_random_labels_are_all_as_likely() -> None:
    batch = batch_of()
    counts = labels_of("random_label", batch).bincount(minlength=10)
    assert len(counts) == 10
    assert all(abs(int(count) - 400) < 5 * math.sqrt(400) for count in counts)
    assert torch.equal(batch.tensors["labels"], torch.arange(4000) % 10)


def test_random_labels_leave_ignored_places() -> None:
    labels = torch.arange(D) % 3
    labels[::2] = IGNORED_LABEL
    drawn = labels_of("random_label", Batch({"images": torch.zeros(D), "labels": labels}, D))
    assert torch.equal(drawn == IGNORED_LABEL, labels == IGNORED_LABEL)
