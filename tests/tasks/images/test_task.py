"""Classification of images as a task: batches, labels, evaluation, and normalisation without state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from btard.errors import UserError
from btard.tasks.base import Batch, Task
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from tests.tasks.helpers import batch_digest, seed_of, trained
from tests.tasks.images.files import write_cifar, write_idx_set


def task_of(settings: str, data: DataSpec | None = None) -> Task:
    return load_task(f"images:{settings}" if settings else "images", "tiny", data)


@pytest.fixture(scope="module")
def normalised() -> Task:
    return task_of("model=empire_cnn")


def test_it_learns() -> None:
    task = task_of("")
    before, after = (task.evaluated(trained(task, steps, batch_size=16).model) for steps in (0, 300))
    assert before.accuracy is not None and before.accuracy < 0.3
    assert after.accuracy is not None and after.accuracy > 0.9


@pytest.mark.parametrize("loss", ["nll", "cross_entropy", "multi_margin", "mse"])
def test_every_loss_learns(loss: str) -> None:
    task = task_of(f"loss={loss},model=logistic")
    assert (task.evaluated(trained(task, 200, batch_size=16).model).accuracy or 0) > 0.7


def test_batches_have_the_form_that_is_stated(tmp_path: Path) -> None:
    write_cifar(tmp_path, 100)
    task = task_of("data=cifar100,model=empire_cnn,transform=crop_flip_normalise", DataSpec.parse(str(tmp_path)))
    batch = task.batch(seed_of(1), 5)
    assert batch.tensors["images"].shape == (5, 3, 32, 32) and batch.tensors["images"].dtype == torch.float32
    assert batch.tensors["labels"].shape == (5,) and batch.tensors["labels"].dtype == torch.int64


def test_images_of_many_seeds_are_those_of_each() -> None:
    task = task_of("transform=crop_flip_normalise")
    seeds = [seed_of(number) for number in range(4)]
    for index, seed in enumerate(seeds):
        alone = task.batch(seed, 7).tensors
        assert all(torch.equal(tensor[index], alone[name]) for name, tensor in task.batches(seeds, 7).items())


def test_the_bytes_of_a_batch_never_change() -> None:
    """Peers of different versions must draw alike."""
    task = task_of("transform=crop_flip_normalise")
    assert (
        batch_digest(task.batch(seed_of(1), 16)) == "9309eee6bd9b5c1ff08ade92015fdd7786913af13e734067e09982ed22a44461"
    )
    assert task_of("").fingerprint == "9afed05bc2b98b2ff3ea056bac02c0fbcdf0df417468d72ee4fc0a4a8ed32503"


@pytest.mark.parametrize(("flip", "expected"), [("mirrored", lambda y: 9 - y), ("next", lambda y: (y + 1) % 10)])
def test_labels_are_flipped_as_chosen(flip: str, expected) -> None:  # type: ignore[no-untyped-def]
    task = task_of(f"label_flip={flip}")
    batch = task.batch(seed_of(1), 50)
    flipped = task.label_flipped(batch)
    assert torch.equal(flipped.tensors["labels"], expected(batch.tensors["labels"]))
    assert flipped.tensors["images"] is batch.tensors["images"]


def test_evaluation_sees_all_held_out_images_once(tmp_path: Path) -> None:
    write_idx_set(tmp_path, test=1203)
    task = task_of("data=mnist", DataSpec.parse(str(tmp_path)))
    parts = list(task.evaluation_batches())
    assert [part.samples for part in parts] == [500, 500, 203]
    whole = task.evaluation_batch()
    assert torch.equal(torch.cat([part.tensors["images"] for part in parts]), whole.tensors["images"])
    model = task.build_model(1)
    found = task.evaluated(model)
    with torch.no_grad():
        outputs = model(whole.tensors["images"])
    assert found.total == 1203
    assert found.correct == int((outputs.argmax(1) == whole.tensors["labels"]).sum())
    assert found.loss == pytest.approx(float(torch.nn.functional.nll_loss(outputs, whole.tensors["labels"])), rel=1e-5)


def test_images_too_small_for_a_network_are_refused() -> None:
    with pytest.raises(UserError, match="mnist_net needs images of at least 16 x 16"):
        task_of("model=mnist_net")


def test_peers_with_normalisation_agree_after_a_step(normalised: Task) -> None:
    """Each has trained on a batch of its own, and one has recomputed that of the other."""
    one, other = TrainingState(normalised, seed=1), TrainingState(normalised, seed=1)
    first, _ = one.gradient(normalised.batch(seed_of(1), 8), seed_of(1))
    second, _ = other.gradient(normalised.batch(seed_of(2), 8), seed_of(2))
    again, _ = other.gradient(normalised.batch(seed_of(1), 8), seed_of(1))
    assert torch.equal(first, again)
    other.evaluate()
    for state in (one, other):
        state.apply((first + second) / 2)
    assert one.digest() == other.digest()
    assert one.evaluate() == other.evaluate()


def test_a_network_with_normalisation_learns(normalised: Task) -> None:
    assert (normalised.evaluated(trained(normalised, 40, batch_size=32).model).accuracy or 0) > 0.6


def test_legacy_trains_in_evaluation_mode() -> None:
    task = task_of("model=empire_cnn,legacy_eval=true")
    model = task.build_model(1)
    assert not model.training
    batch = task.batch(seed_of(1), 4)
    with torch.no_grad():
        alone = model(batch.tensors["images"][:1])
        assert float((model(batch.tensors["images"])[:1] - alone).abs().max()) < 1e-5, "samples do not see each other"
        assert task.loss(model, batch, seed_of(1)) == task.loss(model, batch, seed_of(2)), "nothing is dropped"
    state = trained(task, 3)
    assert not state.model.training
    assert list(task.statistics_batches()) == []


def test_legacy_mirrors_held_out_images() -> None:
    plain, legacy = (task_of(f"transform=flip,legacy_eval={value}").evaluation_batch() for value in ("false", "true"))
    same = [torch.equal(*pair) for pair in zip(plain.tensors["images"], legacy.tensors["images"], strict=True)]
    assert 0.3 < sum(same) / len(same) < 0.8
    assert torch.equal(plain.tensors["labels"], legacy.tensors["labels"])


def test_settings_and_data_change_the_fingerprint(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    tasks = [task_of("data=mnist", DataSpec.parse(str(tmp_path))), task_of(""), task_of("label_flip=next")]
    assert len({task.fingerprint for task in tasks}) == 3


@pytest.mark.parametrize("nesterov", ["true", "false"])
def test_the_optimizer_is_the_one_that_is_set(nesterov: str) -> None:
    task = task_of(f"momentum=0.5,weight_decay=0.25,nesterov={nesterov}")
    group = task.build_optimizer(task.build_model(1))[0].param_groups[0]
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.5, 0.25, nesterov == "true")
    assert not task_of("momentum=0,nesterov=true").build_optimizer(task.build_model(1))[0].param_groups[0]["nesterov"]


@pytest.mark.parametrize(("most", "right"), [(1, 1), (2, 2), (3, 3), (100, 4)])
def test_an_answer_may_be_among_the_first(most: int, right: int) -> None:
    """A model that gives the classes 9, 8, 7 and so on, in this order, beside four labels."""
    answers = torch.arange(10.0).expand(4, -1)
    batch = Batch({"images": answers, "labels": torch.tensor([9, 8, 7, 0])}, 4)
    assert task_of(f"top_k={most}").correct(torch.nn.Identity(), batch) == (right, 4)
