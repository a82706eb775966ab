"""What must hold for every task."""

import subprocess
import sys

import pytest
import torch

from btard.tasks.albert import AlbertTask
from btard.tasks.base import Schedule, Task, flipped_labels
from tests.tasks.helpers import batch_digest, seed_of


def test_a_seed_decides_the_batch(task: Task) -> None:
    one, same, other = task.batch(seed_of(1), 6), task.batch(seed_of(1), 6), task.batch(seed_of(2), 6)
    assert one.samples == 6
    assert {len(tensor) for tensor in one.tensors.values()} == {6}
    assert batch_digest(one) == batch_digest(same)
    assert batch_digest(one) != batch_digest(other)


def test_batches_are_those_of_each_seed(task: Task) -> None:
    seeds = [seed_of(number) for number in (1, 2, 1)]
    together = task.batches(seeds, 5)
    for index, seed in enumerate(seeds):
        alone = task.batch(seed, 5).tensors
        assert alone.keys() == together.keys()
        assert all(torch.equal(together[name][index], tensor) for name, tensor in alone.items())


def test_another_process_gets_the_same_batch(albert: AlbertTask) -> None:
    program = (
        "import sys; from pathlib import Path; from btard.tasks.albert import AlbertTask\n"
        "from btard.tasks.data.tokenised import TokenisedCorpus\n"
        "from tests.tasks.helpers import batch_digest, seed_of\n"
        "task = AlbertTask('tiny', TokenisedCorpus(Path(sys.argv[1])))\n"
        "print(batch_digest(task.batch(seed_of(3), 5)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(albert.corpus.folder)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == batch_digest(albert.batch(seed_of(3), 5))


def test_a_seed_decides_the_initial_weights(task: Task) -> None:
    one, same, other = (task.build_model(seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_held_out_part_is_never_drawn(digits: Task) -> None:
    held_out = {image.numpy().tobytes() for image in digits.evaluation_batch().tensors["images"]}
    drawn = {image.numpy().tobytes() for image in digits.batch(seed_of(1), 20_000).tensors["images"]}
    assert len(drawn) > 1_400
    assert not held_out & drawn


def test_evaluation_repeats_and_keeps_the_mode(task: Task) -> None:
    model = task.build_model(1)
    assert task.evaluate(model) == task.evaluate(model)
    assert model.training
    model.eval()
    task.evaluate(model)
    assert not model.training


@pytest.mark.parametrize("name", ["gpt", "digits"])
def test_dropout_is_drawn_from_the_seed(name: str, request: pytest.FixtureRequest) -> None:
    task: Task = request.getfixturevalue(name)
    model, batch = task.build_model(1), task.batch(seed_of(1), 8)
    first = task.loss(model, batch, seed_of(1)).item()
    torch.rand(5)
    assert task.loss(model, batch, seed_of(1)).item() == first
    assert task.loss(model, batch, seed_of(2)).item() != first


def test_flipped_batches_keep_inputs_and_change_the_loss(task: Task) -> None:
    model, batch = task.build_model(1), task.batch(seed_of(1), 8)
    flipped = task.label_flipped(batch)
    for name in batch.tensors.keys() - {"labels", "sentence_order_label", "targets"}:
        assert torch.equal(flipped.tensors[name], batch.tensors[name])
    assert batch_digest(batch) == batch_digest(task.batch(seed_of(1), 8))
    assert task.loss(model, flipped, seed_of(1)).item() != task.loss(model, batch, seed_of(1)).item()


def test_flipping_wraps_around_and_spares_ignored_positions() -> None:
    assert flipped_labels(torch.tensor([[0, -100], [9, 4]]), 10).tolist() == [[1, -100], [0, 5]]


def test_the_schedule_rises_and_falls_linearly() -> None:
    schedule = Schedule(learning_rate=1.0, warmup_steps=3, total_steps=7)
    assert [schedule.factor(step) for step in range(9)] == [0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize(("warmup", "total"), [(5, 5), (-1, 3), (0, 0)])
def test_an_impossible_schedule_is_refused(warmup: int, total: int) -> None:
    with pytest.raises(ValueError, match="warm-up < total"):
        Schedule(learning_rate=1.0, warmup_steps=warmup, total_steps=total)
