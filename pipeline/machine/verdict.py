"""Which stage has lied, once one has raised an alarm: a third stage computes again what the accused was to send.

Stage e accuses stage e - 1 of an activation. What stage e - 2 has sent and what stage e - 1 has sent is signed, so a
stage that holds the accused one's weights finds exactly one liar among the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.pipeline.machine.messages import StageHeader, StageMessage, StageMessageKind, from_payload, to_payload
from btard.pipeline.stages.model_stage import ModelStage
from btard.tasks.base import Batch
from btard.tasks.randomness import SeededDraws


@dataclass(frozen=True, slots=True)
class AlarmCase:
    """What a judge is shown.

    Attributes:
        alarm: of stage e.
        said: what stage e - 1 has sent, as stage e shows it.
        given: what stage e - 2 has sent, as stage e shows it, with its numbers.
        defence: what stage e - 2 has sent, as the accused shows it; None if it shows nothing.
    """

    alarm: StageMessage
    said: StageMessage
    given: StageMessage
    defence: StageMessage | None = None


def draw_judge(seed: bytes, stages: int, alarmed: int) -> int | None:
    """Return the stage that judges an alarm; None where all are suspects.

    Args:
        seed: 32 bytes that the accuser could not know when it raised the alarm, or it might wait for a judge it likes.
        stages: how many there are.
        alarmed: e; neither it nor the two stages before it judge.
    """
    able = [stage for stage in range(stages) if not alarmed - 2 <= stage <= alarmed]
    return able[int(SeededDraws(seed).integers("judge", 1, len(able))[0])] if able else None


def find_liar(case: AlarmCase, roster: Sequence[PeerId], accused: ModelStage, batch: Batch) -> int:
    """Return the stage that has lied: e, e - 1, or e - 2.

    Args:
        case: what is shown; the alarm itself has been verified.
        roster: the peer of each stage.
        accused: stage e - 1 with the weights that it had in this step.
        batch: the micro-batch of the alarm.
    """
    alarm = case.alarm.header
    alarmed = alarm.stage
    if not (_is_genuine(case.said, alarm, alarmed - 1, roster) and _is_genuine(case.given, alarm, alarmed - 2, roster)):
        return alarmed  # it accuses without evidence
    shape = (*batch.tensors["input_ids"].shape, int(accused.cut.config.hidden_size))
    numbers = case.given.payload
    if digest(numbers) != case.given.header.payload or len(numbers) != 4 * prod(shape):
        return alarmed
    shown = case.defence
    two_faced = shown is not None and shown.header.payload != case.given.header.payload
    if shown is not None and two_faced and _is_genuine(shown, alarm, alarmed - 2, roster):
        return alarmed - 2
    with torch.no_grad():
        again = accused(batch, from_payload(numbers, shape))
    return alarmed if digest(to_payload(again)) == case.said.header.payload else alarmed - 1


def _is_genuine(message: StageMessage, alarm: StageHeader, author: int, roster: Sequence[PeerId]) -> bool:
    """Whether a stage has signed this as its activation of the micro-batch of an alarm."""
    told = message.header
    if told != StageHeader(
        alarm.run, alarm.step, alarm.attempt, StageMessageKind.ACTIVATION, author, alarm.micro_batch, told.payload
    ):
        return False
    try:
        message.verify(roster[author])
    except Malformed:
        return False
    return True
