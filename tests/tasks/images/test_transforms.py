"""What is done to images, beside loops over pixels."""

from __future__ import annotations

import pytest
import torch

from btard.tasks.images.sets import ImageData
from btard.tasks.images.transforms import Steps, Transform, moved, steps_of, value_table, valued
from btard.tasks.randomness import SeededDraws
from tests.tasks.helpers import seed_of

IMAGES = torch.randint(0, 256, (40, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_half_of_the_images_are_mirrored() -> None:
    found = moved(IMAGES, Steps(flip=True), [SeededDraws(seed_of(1))])
    straight = sum(torch.equal(one, other) for one, other in zip(found, IMAGES, strict=True))
    turned = sum(torch.equal(one, other.flip(2)) for one, other in zip(found, IMAGES, strict=True))
    assert straight + turned == 40 and 8 < straight < 32


def test_a_crop_shifts_by_up_to_four_pixels() -> None:
    draws = SeededDraws(seed_of(2))
    found = moved(IMAGES, Steps(crop=True), [draws])
    downs, rights = draws.integers("down", 40, 9), draws.integers("right", 40, 9)
    assert found.shape == IMAGES.shape and len(set(downs.tolist())) == 9
    for image, before, down, right in zip(found, IMAGES, downs.tolist(), rights.tolist(), strict=True):
        for y in range(6):
            for x in range(6):
                old_y, old_x = y + down - 4, x + right - 4
                inside = 0 <= old_y < 6 and 0 <= old_x < 6
                expected = before[:, old_y, old_x] if inside else torch.zeros(3, dtype=torch.uint8)
                assert torch.equal(image[:, y, x], expected)


def test_a_seed_decides_all_moves() -> None:
    steps = Steps(crop=True, flip=True)
    one, same, other = (moved(IMAGES, steps, [SeededDraws(seed_of(seed))]) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("data", ImageData)
def test_bytes_are_scaled_to_one(data: ImageData) -> None:
    table = value_table(data, normalise=False)
    assert (table[0, 0], table[0, 255], table.dtype) == (0.0, 1.0, torch.float32)


def test_normalisation_is_by_channel() -> None:
    values = valued(IMAGES, value_table(ImageData.CIFAR10, normalise=True))
    for channel, (mean, deviation) in enumerate(((0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616))):
        expected = (IMAGES[:, channel].double() / 255 - mean) / deviation
        torch.testing.assert_close(values[:, channel].double(), expected, rtol=0, atol=1e-6)


def test_many_images_have_the_values_of_each() -> None:
    many, table = IMAGES.repeat(60, 1, 1, 1), value_table(ImageData.CIFAR10, normalise=True)
    values = valued(many, table)
    expected = torch.stack([table[channel][many[:, channel].long()] for channel in range(3)], 1)
    assert torch.equal(values, expected)


def test_draws_move_a_part_each() -> None:
    steps = Steps(crop=True, flip=True)
    draws = [SeededDraws(seed_of(seed)) for seed in (1, 2, 1)]
    together = moved(IMAGES[:10].repeat(3, 1, 1, 1), steps, draws)
    for part, one in zip(together.split(10), draws, strict=True):
        assert torch.equal(part, moved(IMAGES[:10], steps, [one]))


def test_published_transforms_are_those_of_the_data() -> None:
    assert steps_of(Transform.PUBLISHED, ImageData.MNIST) == Steps(normalise=True)
    assert steps_of(Transform.PUBLISHED, ImageData.FASHION_MNIST) == Steps(flip=True)
    assert steps_of(Transform.PUBLISHED, ImageData.CIFAR100) == Steps(flip=True, normalise=True)
    assert steps_of(Transform.NONE, ImageData.CIFAR100) == Steps()
    assert {steps_of(transform, ImageData.MNIST) for transform in Transform} >= {Steps(True, True, True)}
