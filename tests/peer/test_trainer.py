"""The trainer: equal calls give equal bytes, bad numbers and bad states do no harm, and training learns."""

from __future__ import annotations

import asyncio

import pytest
import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.hashing import digest
from btard.peer.trainer import TaskTrainer, chosen_device
from btard.tasks.base import Task
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from btard.tensors import bytes_of
from btard.vectors.momentum import base_from_bytes
from btard.vocabulary import Device
from tests.peer.helpers import run_manifest

torch.set_num_threads(1)

SEED = digest(b"seed")
OTHER = digest(b"other")
HONEST = Behaviour()


def another(**changed: object) -> TaskTrainer:
    """Return the trainer of another peer; its worker ends with the interpreter."""
    return TaskTrainer(load_task("digits", "tiny"), run_manifest(**changed), Device.CPU)


@pytest.fixture(params=["gpt", "albert", "digits"])
def small_task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Each task in its smallest size, on a corpus of a moment."""
    if request.param == "digits":
        return load_task("digits", "tiny")
    folder = tmp_path_factory.mktemp("corpus")
    lines = (f"The {i} wizards of house {i * i % 97} box quietly, and vex {i % 13} lazy dogs." for i in range(900))
    (folder / "words.txt").write_text("\n\n".join(lines))
    return load_task(request.param, "tiny", DataSpec.parse(str(folder / "words.txt")), folder / "cache")


def pair(task: Task, **changed: object) -> tuple[TaskTrainer, TaskTrainer]:
    """Return the trainers of two peers of one run."""
    manifest = run_manifest(dimension=TrainingState(task, 0).dimension, batch_size=4, **changed)
    return TaskTrainer(task, manifest, Device.CPU), TaskTrainer(task, manifest, Device.CPU)


def same(vector: torch.Tensor | None, other: torch.Tensor) -> bool:
    """Whether all bytes are equal."""
    return vector is not None and torch.equal(vector.view(torch.int32), other.view(torch.int32))


async def test_the_first_state_follows_from_the_manifests_seed(trainer: TaskTrainer) -> None:
    assert await another().digest() == await trainer.digest()
    assert await another(seed=2).digest() != await trainer.digest()


async def test_a_gradient_follows_from_the_seed_and_keeps_the_state(trainer: TaskTrainer) -> None:
    before = await trainer.digest()
    one, again = [await trainer.contribute(SEED, 0, HONEST) for _ in range(2)]
    other = await trainer.contribute(digest(b"other"), 0, HONEST)
    assert one.vector.shape == (run_manifest().dimension,) and one.vector.dtype == torch.float32
    assert torch.equal(one.vector, again.vector) and one.loss == again.loss
    assert not torch.equal(one.vector, other.vector)
    assert float(one.vector.norm()) <= 1.0 + 1e-5, "the manifest's longest norm"
    assert one.seconds > 0
    assert await trainer.digest() == before


async def test_updates_are_the_same_for_all(trainer: TaskTrainer) -> None:
    other = another()
    for step in range(3):
        vector = (await trainer.contribute(digest(bytes([step])), step, HONEST)).vector
        assert await trainer.apply(vector) == await other.apply(vector) == await trainer.digest()


async def test_training_learns_the_digits() -> None:
    trainer = another(batch_size=32, learning_rate=0.1, total_steps=2000)
    losses = []
    for step in range(40):
        gradient = await trainer.contribute(digest(step.to_bytes(4, "big")), step, HONEST)
        losses.append(gradient.loss)
        await trainer.apply(gradient.vector)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
async def test_numbers_that_are_none_count_as_zero(trainer: TaskTrainer, bad: float) -> None:
    vector = torch.linspace(-1, 1, run_manifest().dimension)
    vector[::3] = bad
    expected = await another().apply(torch.where(torch.isfinite(vector), vector, torch.zeros(())))
    assert await trainer.apply(vector) == expected


async def test_the_largest_numbers_do_not_stop_a_peer(trainer: TaskTrainer) -> None:
    for _ in range(3):
        await trainer.apply(torch.full((run_manifest().dimension,), 3.4e38))
    gradient = await trainer.contribute(SEED, 3, HONEST)
    assert await trainer.apply(gradient.vector) == await trainer.digest()


async def test_a_state_goes_round(trainer: TaskTrainer) -> None:
    await trainer.apply((await trainer.contribute(SEED, 0, HONEST)).vector)
    made = await trainer.serialize()
    data, state = made.data, made.outline.digest
    newcomer = another(seed=9)
    assert state == await trainer.digest() != await newcomer.digest()
    assert await newcomer.load(data) == state == await newcomer.digest()
    assert len(data) <= trainer.most_state_bytes
    vector = (await trainer.contribute(SEED, 1, HONEST)).vector
    assert await newcomer.apply(vector) == await trainer.apply(vector)


async def test_a_state_that_is_none_is_refused_and_changes_nothing(trainer: TaskTrainer) -> None:
    data, state, _ = await trainer.keep()
    broken = (b"", b"garbage", data[:-1], data[: len(data) // 2], b"\x80\x04pickle", b"\xff" * 64, bytes(8) + data)
    for bad in broken:
        with pytest.raises(UserError):
            await trainer.load(bad)
        assert await trainer.digest() == state


async def test_a_behaviour_spoils_what_is_sent_and_not_what_is_kept(trainer: TaskTrainer) -> None:
    class Flips(Behaviour):
        def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
            return -1000.0 * gradient

    honest = await trainer.contribute(SEED, 0, HONEST)
    lying = await trainer.contribute(SEED, 0, Flips())
    assert torch.equal(lying.vector, -1000.0 * honest.vector)
    assert lying.loss == honest.loss


async def test_a_behaviour_can_spoil_the_batch(trainer: TaskTrainer) -> None:
    class FlipsLabels(Behaviour):
        def batch(self, step, batch, label_flipped):  # type: ignore[no-untyped-def]
            return label_flipped(batch)

    honest = await trainer.contribute(SEED, 0, HONEST)
    assert not torch.equal((await trainer.contribute(SEED, 0, FlipsLabels())).vector, honest.vector)


async def test_calls_wait_for_each_other(trainer: TaskTrainer) -> None:
    vector = (await trainer.contribute(SEED, 0, HONEST)).vector
    other = another()
    states = await asyncio.gather(*(trainer.apply(vector) for _ in range(4)))
    assert states == [await other.apply(vector) for _ in range(4)]
    assert len(set(states)) == 4


def test_a_model_of_another_size_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^this version's model has \d+ numbers, but the run's has 7; install the"):
        another(dimension=7)


def test_a_device_that_is_not_there_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device is cuda, but this machine has no CUDA device"):
        chosen_device(Device.CUDA)
    assert chosen_device(Device.AUTO) is None
    assert chosen_device(Device.CPU) == torch.device("cpu")


@pytest.mark.parametrize("max_grad_norm", [None, 0.1])
async def test_others_recompute_what_a_peer_sent(small_task: Task, max_grad_norm: float | None) -> None:
    """Of the current step, and of the two before it, with the state none the worse."""
    mine, theirs = pair(small_task, max_grad_norm=max_grad_norm)
    last = None
    for step in range(3):
        sent = (await mine.contribute(SEED, step, HONEST)).vector
        own = (await theirs.contribute(OTHER, step, HONEST)).vector
        assert same(await theirs.recompute(SEED, step), sent)
        state = await mine.apply(sent + own)
        assert await theirs.apply(sent + own) == state
        assert same(await theirs.recompute(SEED, step), sent)
        assert same(await theirs.recompute(OTHER, step), own)
        assert not same(await theirs.recompute(SEED, step + 1), sent)
        assert last is None or same(await theirs.recompute(SEED, step - 1), last)
        last = sent
        assert await theirs.digest() == state


async def test_a_state_that_is_not_held_recomputes_nothing(trainer: TaskTrainer) -> None:
    assert await trainer.recompute(SEED, 1) is None
    sent = [(await trainer.contribute(SEED, 0, HONEST)).vector]
    await trainer.apply(sent[0])
    for step in (1, 2):
        sent.append((await trainer.contribute(SEED, step, HONEST)).vector)
        await trainer.apply(sent[step])
    assert [await trainer.recompute(SEED, step) for step in (0, 4)] == [None, None]
    assert same(await trainer.recompute(SEED, 1), sent[1]) and same(await trainer.recompute(SEED, 2), sent[2])

    newcomer = another(seed=9)
    data = (await trainer.serialize()).data
    await newcomer.apply(sent[0])
    await newcomer.load(data, 3)
    assert await newcomer.recompute(SEED, 2) is None
    expected = await trainer.recompute(SEED, 3)
    assert expected is not None and same(await newcomer.recompute(SEED, 3), expected)

    await newcomer.load(data)
    assert [await newcomer.recompute(SEED, step) for step in range(4)] == [None] * 4
    await newcomer.contribute(OTHER, 2, HONEST)
    assert same(await newcomer.recompute(SEED, 2), expected)


async def test_a_resumed_run_recomputes_nothing_before_its_state() -> None:
    resumed = another(start_step=3, state_digest="ab" * 32)
    assert [await resumed.recompute(SEED, step) for step in (0, 3)] == [None, None]


async def test_a_state_that_is_refused_leaves_the_previous_one_known(trainer: TaskTrainer) -> None:
    sent = (await trainer.contribute(SEED, 0, HONEST)).vector
    await trainer.apply(sent)
    with pytest.raises(UserError):
        await trainer.load(b"garbage", 7)
    assert same(await trainer.recompute(SEED, 0), sent)


async def test_a_lie_does_not_reach_what_others_recompute(trainer: TaskTrainer) -> None:
    class Flips(Behaviour):
        def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
            return -gradient

    lie = (await trainer.contribute(SEED, 0, Flips())).vector
    honest = await trainer.recompute(SEED, 0)
    assert honest is not None and same(-honest, lie)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
async def test_an_overflow_is_sent_as_zeros_and_recomputed_as_such(momentum: float) -> None:
    mine, theirs = pair(load_task("digits", "tiny"), momentum=momentum, learning_rate=3e38)
    for trainer in (mine, theirs):
        await trainer.apply(torch.full((run_manifest().dimension,), 3.4e38))
    gradient = await mine.contribute(SEED, 1, HONEST)
    assert gradient.loss != gradient.loss or gradient.loss == float("inf"), "the loss tells what it was"
    assert torch.count_nonzero(gradient.vector) == 0
    assert same(await theirs.recompute(SEED, 1), gradient.vector)


async def test_a_chain_of_momentum_is_recomputed_link_by_link() -> None:
    mine, theirs = pair(load_task("digits", "tiny"), momentum=0.9)
    dimension, base = run_manifest().dimension, bytes(4 * run_manifest().dimension)
    for step in range(4):
        made = await mine.contribute(SEED, step, HONEST)
        sent = made.vector
        assert made.momentum == digest(base)
        served = mine.momentum_base(step)
        assert served == base
        for trainer in (mine, theirs):
            await trainer.apply(sent)
        assert same(await theirs.recompute(SEED, step, base_from_bytes(served, dimension)), sent)
        if step:
            assert mine.momentum_base(step - 1) is not None
            assert not same(await theirs.recompute(SEED, step), sent)
        base = sent.numpy().tobytes()
    assert mine.momentum_base(0) is None and mine.momentum_base(1) is not None


async def test_what_nobody_was_sent_is_no_link_of_a_chain() -> None:
    """It is taken back even if it is still being computed."""
    mine, theirs = pair(load_task("digits", "tiny"), momentum=0.9)
    first = (await mine.contribute(SEED, 0, HONEST)).vector
    for trainer in (mine, theirs):
        await trainer.apply(first)
    unsent = asyncio.ensure_future(mine.contribute(SEED, 1, HONEST))
    await asyncio.sleep(0)
    await mine.withdraw(1)
    for trainer in (mine, theirs):
        await trainer.apply(first)
    made = await mine.contribute(SEED, 2, HONEST)
    assert unsent.done() and made.momentum == digest(bytes_of(first))
    assert same(await theirs.recompute(SEED, 2, first), made.vector)


async def test_a_liars_chain_goes_on_from_its_lie() -> None:
    class Flips(Behaviour):
        def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
            return -gradient

    liar, judge = pair(load_task("digits", "tiny"), momentum=0.5)
    lie = (await liar.contribute(SEED, 0, Flips())).vector
    assert same(await judge.recompute(SEED, 0), -lie)
    for trainer in (liar, judge):
        await trainer.apply(lie)
    sent = await liar.contribute(SEED, 1, HONEST)
    assert sent.momentum == digest(bytes_of(lie))
    assert same(await judge.recompute(SEED, 1, lie), sent.vector)


async def test_a_peer_that_joins_begins_a_new_chain() -> None:
    mine, _ = pair(load_task("digits", "tiny"), momentum=0.5)
    first = (await mine.contribute(SEED, 0, HONEST)).vector
    data = (await mine.serialize()).data
    assert not same((await mine.contribute(SEED, 1, HONEST)).vector, first)
    await mine.load(data, 2)
    assert mine.momentum_base(1) is None
    again = await mine.contribute(SEED, 2, HONEST)
    assert same(again.vector, first) and again.momentum == digest(bytes(4 * len(first)))


async def test_without_momentum_there_is_no_chain(trainer: TaskTrainer) -> None:
    made = await trainer.contribute(SEED, 0, HONEST)
    assert (made.momentum, trainer.momentum_base(0)) == (b"", None)


async def test_a_base_of_another_shape_is_refused() -> None:
    mine, _ = pair(load_task("digits", "tiny"), momentum=0.5)
    before = await mine.digest()
    with pytest.raises(ValueError, match="a base is float32"):
        await mine.recompute(SEED, 0, torch.zeros(3))
    assert await mine.digest() == before
