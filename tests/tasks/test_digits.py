import pytest
import torch

from btard.errors import UserError
from btard.tasks.base import DataRequest
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.digits import DigitsTask
from btard.tasks.settings import TaskSettings
from tests.tasks.helpers import seed_of, trained


def test_it_learns(digits: DigitsTask) -> None:
    before, after = (digits.evaluated(trained(digits, steps, batch_size=16).model) for steps in (0, 300))
    assert before.accuracy is not None and before.accuracy < 0.3
    assert after.accuracy is not None and after.accuracy > 0.9
    assert after.total == digits.evaluation_batch().samples


def test_label_flipping_mirrors_the_digits(digits: DigitsTask) -> None:
    batch = digits.batch(seed_of(1), 50)
    assert torch.equal(digits.label_flipped(batch).tensors["labels"], 9 - batch.tensors["labels"])


def test_images_are_scaled(digits: DigitsTask) -> None:
    images = digits.batch(seed_of(1), 50).tensors["images"]
    assert images.shape == (50, 1, 8, 8)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (0.0, 1.0)


def test_other_data_is_refused() -> None:
    with pytest.raises(UserError, match="only its built-in data"):
        DigitsTask.load("tiny", TaskSettings(), DataRequest(DataSpec(kind=SourceKind.HUB, location="owner/mnist")))
