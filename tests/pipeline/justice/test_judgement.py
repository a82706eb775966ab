"""A judge names the one stage that has lied."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from btard.identity import IdentityKey
from btard.pipeline.machine.messages import StageMessage, StageMessageKind, to_payload
from btard.pipeline.machine.verdict import AlarmCase, draw_judge, find_liar
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state

RUN = bytes(16)
KEYS = [IdentityKey.from_seed(bytes([number]) * 32) for number in range(4)]
ROSTER = tuple(key.peer_id for key in KEYS)
BATCH = tiny_batch("gpt2", 5)
ALARMED = 2


def sent(stage: int, tensor: torch.Tensor, *, micro_batch: int = 1) -> StageMessage:
    kind = StageMessageKind.ACTIVATION
    return StageMessage.sign(KEYS[stage], RUN, (7, 0), kind, stage, micro_batch, to_payload(tensor))


@pytest.fixture(scope="module")
def stages() -> list[ModelStage]:
    cut = Cut(tiny_config("gpt2"), Split.parse("1-1-1-1"))
    return [ModelStage(cut, number, tiny_state(cut.config)) for number in range(2)]


@pytest.fixture
def honest(stages: list[ModelStage]) -> AlarmCase:
    """All that stages 0 and 1 have sent is true, so the alarm is false."""
    with torch.no_grad():
        given = stages[0](BATCH, None)
        said = stages[1](BATCH, given)
    alarm = StageMessage.sign(KEYS[ALARMED], RUN, (7, 0), StageMessageKind.ALARM, ALARMED, 1)
    return AlarmCase(alarm, sent(1, said), sent(0, given), sent(0, given))


def judged(case: AlarmCase, stages: list[ModelStage]) -> int:
    return find_liar(case, ROSTER, stages[1], BATCH)


def test_a_false_accuser_is_named(honest: AlarmCase, stages: list[ModelStage]) -> None:
    assert judged(honest, stages) == 2
    assert judged(replace(honest, defence=None), stages) == 2


def test_a_stage_that_sends_what_it_did_not_compute_is_named(honest: AlarmCase, stages: list[ModelStage]) -> None:
    lied = sent(1, torch.zeros(2, 12, 32))
    assert judged(replace(honest, said=lied), stages) == 1
    assert judged(replace(honest, said=lied, defence=None), stages) == 1


def test_a_stage_that_tells_two_things_is_named(honest: AlarmCase, stages: list[ModelStage]) -> None:
    other = torch.ones(2, 12, 32)
    with torch.no_grad():
        said = sent(1, stages[1](BATCH, other))
    assert judged(replace(honest, said=said, defence=sent(0, other)), stages) == 0


def test_a_forged_defence_does_not_help(honest: AlarmCase, stages: list[ModelStage]) -> None:
    lied = replace(honest, said=sent(1, torch.zeros(2, 12, 32)))
    forged = replace(sent(0, torch.ones(2, 12, 32)), signature=bytes(64))
    of_another = sent(0, torch.ones(2, 12, 32), micro_batch=0)
    assert judged(replace(lied, defence=forged), stages) == judged(replace(lied, defence=of_another), stages) == 1


def test_an_accusation_without_evidence_falls_on_the_accuser(honest: AlarmCase, stages: list[ModelStage]) -> None:
    wrong = torch.zeros(2, 12, 32)
    for case in (
        replace(honest, said=replace(sent(1, wrong), signature=bytes(64))),
        replace(honest, said=sent(1, wrong, micro_batch=0)),
        replace(honest, said=sent(3, wrong)),
        replace(honest, given=replace(sent(0, wrong), signature=bytes(64))),
        replace(honest, given=replace(honest.given, payload=to_payload(wrong))),
        replace(honest, given=sent(0, wrong[:1]), defence=None),
    ):
        assert judged(case, stages) == 2


def test_no_suspect_judges_and_all_others_may() -> None:
    drawn = [draw_judge(bytes([number]) * 32, 6, 3) for number in range(100)]
    assert set(drawn) == {0, 4, 5}
    assert draw_judge(bytes(32), 3, 2) is None
