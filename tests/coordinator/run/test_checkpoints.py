"""Checkpoints: only what a majority vouches for is saved, and bad bytes cost a source, not the coordinator."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from btard.coordinator.run import checkpoints as module
from btard.coordinator.run.checkpoints import MAX_ATTEMPTS, CheckpointKeeper
from btard.coordinator.run_directory import RunDirectory
from btard.tasks.base import Task
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MemoryNetwork, head, ids, manifest, roster, until

RUN = manifest(checkpoint_at=(10,), peers=3)
HERE = roster(12, 1, 2, 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("digits", "tiny")


@pytest.fixture
def trained(task: Task) -> TrainingState:
    state = TrainingState(task, 3, device=CPU)
    state.apply(torch.ones(state.dimension))
    return state


@pytest.fixture
def network() -> MemoryNetwork:
    network = MemoryNetwork(RUN)
    network.stand(head(HERE), 1, 2, 3)
    return network


@pytest.fixture
def keeper(task: Task, network: MemoryNetwork, directory: RunDirectory, log: Log) -> Iterator[CheckpointKeeper]:
    state = TrainingState(task, 7, device=CPU)
    yield CheckpointKeeper(network, RUN, state, directory, log)


async def finish(keeper: CheckpointKeeper) -> None:
    """Wait for what is being saved."""
    await until(lambda: keeper._task is None or keeper._task.done())


async def test_a_majoritys_checkpoint_is_saved_with_its_loss(
    keeper: CheckpointKeeper,
    network: MemoryNetwork,
    trained: TrainingState,
    task: Task,
    directory: RunDirectory,
    log: Log,
) -> None:
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2)
    network.keep(10, bytes(32), b"lies", 3)
    keeper.consider(HERE, network.standing)
    await finish(keeper)
    assert keeper.is_done(HERE)
    loaded = TrainingState(task, 0, device=CPU)
    found = loaded.load_checkpoint(directory.checkpoint(10))
    assert (found.step, loaded.digest()) == (10, trained.digest())
    (event,) = log.named("checkpoint")
    assert (event["step"], event["digest"]) == (10, trained.digest().hex())
    assert event["evaluation_loss"] == pytest.approx(trained.evaluate())
    assert found.extra["evaluation_loss"] == event["evaluation_loss"]
    assert keeper.saved is not None


async def test_without_a_majority_nothing_is_asked(
    keeper: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState
) -> None:
    network.keep(10, trained.digest(), trained.state_bytes(), 1)
    network.keep(10, bytes(32), b"lies", 2)
    keeper.consider(HERE, network.standing)
    assert keeper._task is None


async def test_steps_that_the_manifest_does_not_want(
    keeper: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState
) -> None:
    network.keep(11, trained.digest(), trained.state_bytes(), 1, 2, 3)
    network.keep(10**9, trained.digest(), trained.state_bytes(), 1, 2, 3)
    keeper.consider(HERE, network.standing)
    assert keeper._task is None


async def test_a_source_with_bad_bytes_is_passed_over(
    keeper: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState, directory: RunDirectory
) -> None:
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    liars = HERE.members[:2]
    for peer, data in zip(liars, (b"no state at all", trained.state_bytes()[:-9]), strict=True):
        network.states[peer, 10] = data
    keeper.consider(HERE, network.standing)
    await finish(keeper)
    assert directory.has_checkpoint(10)


async def test_given_up_after_some_attempts(
    keeper: CheckpointKeeper,
    network: MemoryNetwork,
    trained: TrainingState,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    network.keep(10, trained.digest(), b"gone", 1, 2, 3)
    for _ in range(MAX_ATTEMPTS + 2):
        keeper.consider(HERE, network.standing)
        await finish(keeper)
    assert len(log.named("checkpoint_missed")) == 1
    assert keeper.is_done(HERE)


async def test_a_disk_that_takes_nothing_is_waited_for(
    keeper: CheckpointKeeper,
    network: MemoryNetwork,
    trained: TrainingState,
    directory: RunDirectory,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DISK_RETRY_SECONDS", 0.0)
    directory.checkpoints.write_text("a file where a folder should be")
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    for _ in range(MAX_ATTEMPTS + 2):
        keeper.consider(HERE, network.standing)
        await finish(keeper)
    assert not keeper.is_done(HERE) and keeper.stored < 10
    assert log.named("checkpoint_missed") == []
    (delayed,) = log.named("checkpoint_delayed")
    assert (delayed["step"], "cannot be written" in delayed["reason"]) == (10, True)
    directory.checkpoints.unlink()
    keeper.consider(HERE, network.standing)
    await finish(keeper)
    assert keeper.is_done(HERE) and keeper.stored == HERE.step


async def test_a_disk_on_which_no_state_can_arrive_is_waited_for(
    keeper: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*asked: object, **how: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "DISK_RETRY_SECONDS", 0.0)
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(network, "download", full)
        for _ in range(MAX_ATTEMPTS + 2):
            keeper.consider(HERE, network.standing)
            await finish(keeper)
    assert log.named("checkpoint_missed") == [] and len(log.named("checkpoint_delayed")) == 1
    keeper.consider(HERE, network.standing)
    await finish(keeper)
    assert keeper.is_done(HERE) and keeper.stored == HERE.step


EVERY = manifest(checkpoint_every=5, peers=3, total_steps=40)


@pytest.fixture
def many(task: Task, network: MemoryNetwork, directory: RunDirectory, log: Log) -> CheckpointKeeper:
    return CheckpointKeeper(network, EVERY, TrainingState(task, 7, device=CPU), directory, log)


async def test_all_that_are_offered_are_saved_one_after_the_other(
    many: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState, log: Log
) -> None:
    here = roster(33, 1, 2, 3)
    network.stand(head(here), 1, 2, 3)
    for step in range(5, 31, 5):
        network.keep(step, trained.digest(), trained.state_bytes(), 1, 2, 3)
    many.consider(here, network.standing)
    await finish(many)
    assert [event["step"] for event in log.named("checkpoint")] == list(range(5, 31, 5))
    assert many.is_done(here) and many.stored == 33


async def test_what_most_do_not_hold_any_more_is_named(
    many: CheckpointKeeper,
    network: MemoryNetwork,
    trained: TrainingState,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNOFFERED_SECONDS", -1.0)
    here = roster(12, 1, 2, 3)
    network.stand(head(here), 1)
    many.consider(here, {peer: network.standing[peer] for peer in ids(1)})
    assert log.named("checkpoint_missed") == [], "fewer than most have answered"
    network.stand(head(here), 1, 2, 3)
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    many.consider(here, network.standing)
    await finish(many)
    assert [event["step"] for event in log.named("checkpoint_missed")] == [5]
    assert [event["step"] for event in log.named("checkpoint")] == [10]
    assert many.is_done(here) and many.stored == 12


async def test_what_is_not_stored_yet_is_to_be_held(
    many: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState
) -> None:
    here = roster(12, 1, 2, 3)
    network.stand(head(here), 1, 2, 3)
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    many.consider(here, network.standing)
    await finish(many)
    many.consider(here, network.standing)
    assert many.stored == 4 and not many.is_done(here)


async def test_members_keep_a_last_state_that_was_given_up(many: CheckpointKeeper) -> None:
    last = roster(40, 1, 2, 3)
    for step in range(5, 41, 5):
        many.miss(step, "gone")
    assert many.is_done(last) and many.stored == 39


async def test_what_is_on_disk_is_not_asked_again(
    keeper: CheckpointKeeper, network: MemoryNetwork, trained: TrainingState, directory: RunDirectory, tmp_path: Path
) -> None:
    trained.save_checkpoint(directory.checkpoint(10), 10)
    network.keep(10, trained.digest(), trained.state_bytes(), 1, 2, 3)
    keeper.consider(HERE, network.standing)
    assert keeper._task is None
    await keeper.close()
