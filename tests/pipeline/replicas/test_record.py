"""A record is believed by its signatures alone, and gives the gradient that a replica had to submit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.machine.messages import StageMessage
from btard.pipeline.replicas.record import ReplicaRecord
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.replicas.trainer import KEPT_STEPS, StageTrainer
from tests.pipeline.replicas.small import pipelines_of

STAGE = 1


@pytest.fixture(scope="module")
def pipelines() -> Pipelines:
    made = pipelines_of()
    for step in range(2):
        made.step(step)
    return made


def trainer_of(pipelines: Pipelines, replica: int, stage: int = STAGE) -> StageTrainer:
    trainer = pipelines.groups[stage].peers[replica].trainer
    assert isinstance(trainer, StageTrainer)
    return trainer


def peer_of(pipelines: Pipelines, replica: int, stage: int = STAGE) -> PeerId:
    return pipelines.groups[stage].peers[replica].peer_id


def record_of(pipelines: Pipelines, replica: int, step: int = 0, stage: int = STAGE) -> bytes:
    data = trainer_of(pipelines, replica, stage).momentum_base(step)
    assert data is not None
    return data


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_record_gives_the_gradient_to_the_bit(pipelines: Pipelines, stage: int) -> None:
    target, validator = trainer_of(pipelines, 3, stage), trainer_of(pipelines, 0, stage)
    for step in range(2):
        found = validator.computed_again(peer_of(pipelines, 3, stage), step, record_of(pipelines, 3, step, stage))
        submitted = target.submitted(step)
        assert found is not None and found.said_so and submitted is not None
        assert torch.equal(found.gradient, torch.frombuffer(bytearray(submitted), dtype=torch.float32))


def test_a_record_is_of_one_peer_and_one_step(pipelines: Pipelines) -> None:
    validator, data = trainer_of(pipelines, 0), record_of(pipelines, 3)
    assert validator.is_record(peer_of(pipelines, 3), 0, data)
    assert not validator.is_record(peer_of(pipelines, 3), 1, data)
    assert not validator.is_record(peer_of(pipelines, 2), 0, data)
    assert not validator.is_record(peer_of(pipelines, 3, 2), 0, data)


def resigned(message: StageMessage | None, key: IdentityKey, payload: bytes | None = None) -> StageMessage:
    """Return a message under another signature, perhaps of other bytes."""
    assert message is not None
    told = message.header
    data = message.payload if payload is None else payload
    place = (told.step, told.attempt)
    return StageMessage.sign(key, told.run, place, told.kind, told.stage, told.micro_batch, data, kept=told.kept)


def forged(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    first, *rest = record.pieces
    return ReplicaRecord((replace(first, given=resigned(first.given, IdentityKey.from_seed(bytes(32)))), *rest))


def of_other_bytes(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    first, *rest = record.pieces
    assert first.given is not None
    key = pipelines.machines[3][0].context.key
    return ReplicaRecord((replace(first, given=resigned(first.given, key, bytes(len(first.given.payload)))), *rest))


def from_a_stage_that_is_no_neighbour(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    first, *rest = record.pieces
    assert first.given is not None
    key, told = pipelines.machines[3][2].context.key, first.given.header
    place = (told.step, told.attempt)
    said = StageMessage.sign(key, told.run, place, told.kind, 2, told.micro_batch, first.given.payload, kept=told.kept)
    return ReplicaRecord((replace(first, given=said), *rest))


def without_a_micro_batch(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    return ReplicaRecord(record.pieces[:1])


def twice_the_same(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    return ReplicaRecord((record.pieces[0], record.pieces[0]))


def of_two_attempts(pipelines: Pipelines, record: ReplicaRecord) -> ReplicaRecord:
    first, *rest = record.pieces
    assert first.back is not None
    key, told = pipelines.machines[3][2].context.key, first.back.header
    back = StageMessage.sign(key, told.run, (told.step, 1), told.kind, 2, told.micro_batch, first.back.payload)
    return ReplicaRecord((replace(first, back=back), *rest))


@pytest.mark.parametrize(
    "change",
    [
        forged,
        of_other_bytes,
        from_a_stage_that_is_no_neighbour,
        without_a_micro_batch,
        twice_the_same,
        of_two_attempts,
    ],
)
def test_a_changed_record_is_none(
    pipelines: Pipelines, change: Callable[[Pipelines, ReplicaRecord], ReplicaRecord]
) -> None:
    data = change(pipelines, ReplicaRecord.decode(record_of(pipelines, 3))).encode()
    assert not trainer_of(pipelines, 0).is_record(peer_of(pipelines, 3), 0, data)
    assert trainer_of(pipelines, 0).computed_again(peer_of(pipelines, 3), 0, data) is None


def test_bytes_of_strangers_are_no_record(pipelines: Pipelines) -> None:
    data = record_of(pipelines, 3)
    for cut in range(0, len(data), 97):
        with pytest.raises(Malformed):
            ReplicaRecord.decode(data[:cut])
    assert ReplicaRecord.decode(data).encode() == data


def test_only_the_last_steps_are_kept() -> None:
    pipelines = pipelines_of()
    for step in range(KEPT_STEPS + 1):
        pipelines.step(step)
    assert trainer_of(pipelines, 0).momentum_base(0) is None
    assert trainer_of(pipelines, 0).momentum_base(1) is not None
    assert not trainer_of(pipelines, 0).is_record(peer_of(pipelines, 3), 0, b"")
