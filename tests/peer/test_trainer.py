"""The trainer: equal calls give equal bytes, bad numbers and bad states do no harm, and training learns."""

from __future__ import annotations

import asyncio

import pytest
import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.hashing import digest
from peer.settings import Device
from peer.trainer import Trainer, chosen_device
from tasks.registry import load_task
from tests.peer.helpers import run_manifest

SEED = digest(b"seed")
HONEST = Behaviour()


def another(**changed: object) -> Trainer:
    """Return the trainer of another peer; its worker ends with the interpreter."""
    return Trainer(load_task("digits", "tiny"), run_manifest(**changed), Device.CPU)


async def test_the_first_state_follows_from_the_manifests_seed(trainer: Trainer) -> None:
    assert await another().digest() == await trainer.digest()
    assert await another(seed=2).digest() != await trainer.digest()


async def test_a_gradient_follows_from_the_public_seed_and_leaves_the_state(trainer: Trainer) -> None:
    before = await trainer.digest()
    one, again = [await trainer.gradient(SEED, 0, HONEST) for _ in range(2)]
    other = await trainer.gradient(digest(b"other"), 0, HONEST)
    assert one.vector.shape == (run_manifest().dimension,) and one.vector.dtype == torch.float32
    assert torch.equal(one.vector, again.vector) and one.loss == again.loss
    assert not torch.equal(one.vector, other.vector)
    assert float(one.vector.norm()) <= 1.0 + 1e-5, "the manifest's longest norm"
    assert one.seconds > 0
    assert await trainer.digest() == before


async def test_updates_are_the_same_for_all(trainer: Trainer) -> None:
    other = another()
    for step in range(3):
        vector = (await trainer.gradient(digest(bytes([step])), step, HONEST)).vector
        assert await trainer.apply(vector) == await other.apply(vector) == await trainer.digest()


async def test_training_learns_the_digits() -> None:
    trainer = another(batch_size=32, learning_rate=0.1, total_steps=2000)
    losses = []
    for step in range(40):
        gradient = await trainer.gradient(digest(step.to_bytes(4, "big")), step, HONEST)
        losses.append(gradient.loss)
        await trainer.apply(gradient.vector)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
async def test_numbers_that_are_none_count_as_zero(trainer: Trainer, bad: float) -> None:
    vector = torch.linspace(-1, 1, run_manifest().dimension)
    vector[::3] = bad
    expected = await another().apply(torch.where(torch.isfinite(vector), vector, torch.zeros(())))
    assert await trainer.apply(vector) == expected


async def test_the_largest_numbers_do_not_stop_a_peer(trainer: Trainer) -> None:
    for _ in range(3):
        await trainer.apply(torch.full((run_manifest().dimension,), 3.4e38))
    gradient = await trainer.gradient(SEED, 3, HONEST)
    assert await trainer.apply(gradient.vector) == await trainer.digest()


async def test_a_state_goes_round(trainer: Trainer) -> None:
    await trainer.apply((await trainer.gradient(SEED, 0, HONEST)).vector)
    data, state = await trainer.serialize()
    newcomer = another(seed=9)
    assert state == await trainer.digest() != await newcomer.digest()
    assert await newcomer.load(data) == state == await newcomer.digest()
    assert len(data) <= trainer.most_state_bytes
    vector = (await trainer.gradient(SEED, 1, HONEST)).vector
    assert await newcomer.apply(vector) == await trainer.apply(vector)


async def test_a_state_that_is_none_is_refused_and_changes_nothing(trainer: Trainer) -> None:
    data, state = await trainer.serialize()
    broken = (b"", b"garbage", data[:-1], data[: len(data) // 2], b"\x80\x04pickle", b"\xff" * 64, bytes(8) + data)
    for bad in broken:
        with pytest.raises(UserError):
            await trainer.load(bad)
        assert await trainer.digest() == state


async def test_a_behaviour_spoils_what_is_sent_and_not_what_is_kept(trainer: Trainer) -> None:
    class Flips(Behaviour):
        def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
            return -1000.0 * gradient

    honest = await trainer.gradient(SEED, 0, HONEST)
    lying = await trainer.gradient(SEED, 0, Flips())
    assert torch.equal(lying.vector, -1000.0 * honest.vector)
    assert lying.loss == honest.loss


async def test_a_behaviour_can_spoil_the_batch(trainer: Trainer) -> None:
    class FlipsLabels(Behaviour):
        def batch(self, step, batch, label_flipped):  # type: ignore[no-untyped-def]
            return label_flipped(batch)

    honest = await trainer.gradient(SEED, 0, HONEST)
    assert not torch.equal((await trainer.gradient(SEED, 0, FlipsLabels())).vector, honest.vector)


async def test_calls_wait_for_each_other(trainer: Trainer) -> None:
    vector = (await trainer.gradient(SEED, 0, HONEST)).vector
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
