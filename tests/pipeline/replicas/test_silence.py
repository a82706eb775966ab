"""What is lost between replicas is asked for again, and a pipeline with a silent stage holds no other one up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from btard.errors import UserError
from btard.pipeline.machine.messages import StageMessageKind
from btard.pipeline.machine.plan import SendStage
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.replicas.simulated.stage import ReplicaStage
from btard.transport.virtual import NetworkConditions
from tests.pipeline.replicas.small import CUT, pipelines_of, states
from tests.pipeline.replicas.test_rows import WrongNorms

LOSSY = NetworkConditions(delay=(0.001, 0.3), loss=0.2)


def silence(pipelines: Pipelines, replica: int, stage: int, *kinds: StageMessageKind) -> ReplicaStage:
    """Let a stage hear everything and say nothing; only nothing of some kinds, if any are named."""
    silent = pipelines.stages[replica][stage]
    perform = silent.perform

    def heard(effects):
        if silent.peer_id == key:
            effects = [e for e in effects if not (isinstance(e, SendStage) and (not kinds or said(e) in kinds))]
        perform(effects)

    def said(effect: SendStage) -> StageMessageKind | None:
        return next((kind for kind in kinds if effect.data == encoded(kind)), None)

    def encoded(kind: StageMessageKind) -> bytes | None:
        sent = silent.machine.context.sent(kind)
        return None if sent is None else sent.encode()

    key, silent.perform = silent.peer_id, heard  # type: ignore[method-assign]
    return silent


def test_lost_headers_and_rows_are_asked_for_again() -> None:
    calm, lossy = pipelines_of(retry_seconds=5.0), pipelines_of(retry_seconds=5.0)
    lossy.network.conditions = LOSSY
    for step in range(2):
        calm.step(step)
        assert lossy.step(step).silent == ()
    assert states(lossy) == states(calm)
    assert all(len(digests) == 1 for digests in states(calm))


def test_a_row_of_other_pipelines_is_asked_for_again() -> None:
    """A stage that was told false norms has the true ones from other pipelines alone."""
    calm, lossy = pipelines_of(retry_seconds=5.0), pipelines_of(retry_seconds=5.0)
    lossy.machines[2][1].context.behaviour = WrongNorms()
    lossy.network.conditions = replace(LOSSY, loss=0.5)
    for step in range(2):
        calm.step(step)
        assert lossy.step(step).silent == ()
    assert states(lossy) == states(calm)


@pytest.mark.parametrize("stage", range(CUT.stages))
def test_a_silent_stage_costs_its_own_pipeline_a_step_alone(stage: int) -> None:
    pipelines = pipelines_of()
    pipelines.step(0)
    former = [machine.context.key.peer_id for machine in pipelines.machines[2]]
    silence(pipelines, 2, stage)
    left_out = pipelines.step(1)
    assert left_out.silent == (2,)
    assert left_out.submitted == ((0, 1, 3),) * CUT.stages
    now = [machine.context.key.peer_id for machine in pipelines.machines[2]]
    assert not {*former} & {*now}
    assert all(len(digests) == 1 for digests in states(pipelines)), "the new peers go on from another state"
    after = pipelines.step(2)
    assert after.silent == () and after.submitted == ((0, 1, 3),) * CUT.stages
    assert all(len(digests) == 1 for digests in states(pipelines))


def test_a_pipeline_left_out_is_averaged_again() -> None:
    pipelines = pipelines_of()
    silence(pipelines, 2, 1)
    steps = [pipelines.step(step) for step in range(4)]
    assert [step.silent for step in steps] == [(2,), (), (), ()]
    assert any(2 in submitted for submitted in steps[-1].submitted)


def test_a_last_stage_that_ends_no_step_is_left_behind() -> None:
    """Its gradient is in the average, and the others step by it; then other peers take its pipeline's seats."""
    pipelines = pipelines_of()
    silence(pipelines, 0, CUT.stages - 1, StageMessageKind.ACCEPT)
    step = pipelines.step(0)
    assert step.silent == (0,) and step.submitted == ((0, 1, 2, 3),) * CUT.stages
    assert all(len(digests) == 1 for digests in states(pipelines))
    assert pipelines.step(1).silent == ()
    assert all(len(digests) == 1 for digests in states(pipelines))


def test_waiting_for_a_silent_pipeline_stalls_no_other() -> None:
    pipelines = pipelines_of(step_seconds=20.0, retry_seconds=5.0)
    silence(pipelines, 3, 0)
    assert pipelines.step(0).silent == (3,)
    assert pipelines.network.now < 45.0


def test_half_of_the_pipelines_cannot_go_on() -> None:
    pipelines = pipelines_of()
    for replica in (0, 2):
        silence(pipelines, replica, 1)
    with pytest.raises(UserError, match=r"2 of 4 pipelines stand still in step 0: stage \d of pipeline 0 waits for"):
        pipelines.step(0)
