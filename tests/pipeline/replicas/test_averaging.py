"""Honest replicas end with one state: that of a loop in one process that averages by the same rule."""

from __future__ import annotations

import pytest
import torch

from btard.errors import UserError
from btard.identity import PeerId
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import StageEffect
from btard.pipeline.replicas.gradients import flat_gradient, gradient_numbers, set_flat_gradient
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.schedule.together import finish_step
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import ModelStage
from btard.round.aggregates import combined
from btard.transport.virtual import NetworkConditions
from btard.vectors.partition import Partition
from btard.vocabulary import SEEDS
from tests.pipeline.replicas.small import CUT, MICRO_BATCHES, PLAN, STATE, batches_of, pipelines_of, states

STEPS, REPLICAS = 3, 4


def fresh_workers() -> list[StageWorker]:
    return [StageWorker(ModelStage(CUT, stage, STATE), PLAN) for stage in range(CUT.stages)]


def sums(workers: list[StageWorker], step: int, replica: int) -> list[torch.Tensor]:
    """Return what each stage of a pipeline sums over its micro-batches."""
    for worker in workers:
        worker.discard()
    for number, batch in enumerate(batches_of(replica, step)):
        hidden = None
        for worker in workers:
            hidden = worker.forward(number, batch, hidden)
        gradient = torch.tensor(1.0 / MICRO_BATCHES)
        for worker in reversed(workers):
            back = worker.backward(number, gradient)
            gradient = gradient if back is None else back
    return [flat_gradient(worker) for worker in workers]


def averaged_in_a_loop(pipelines: Pipelines, steps: int) -> list[StageWorker]:
    """Train without messages: each step sums the gradients of all replicas and aggregates them part by part."""
    workers = fresh_workers()
    for step in range(steps):
        own = [sums(workers, step, replica) for replica in range(REPLICAS)]
        for stage, worker in enumerate(workers):
            group = pipelines.groups[stage]
            order = sorted(range(REPLICAS), key=lambda replica: group.peers[replica].peer_id)
            partition = Partition(group.rules.dimension, REPLICAS, group.rules.wire)
            parts = []
            for part in range(REPLICAS):
                start, end = partition.bounds(part)
                rows = torch.stack([own[replica][stage][start:end] for replica in order])
                parts.append(combined(rows, group.rules.aggregation, REPLICAS)[0])
            set_flat_gradient(worker, torch.cat(parts))
        finish_step(workers)
    return workers


@pytest.mark.parametrize("tau", [0.005, 10.0])
def test_replicas_equal_a_loop_that_averages(tau: float) -> None:
    pipelines = pipelines_of(REPLICAS, tau=tau, conditions=NetworkConditions(delay=(0.001, 0.3)))
    for step in range(STEPS):
        assert pipelines.step(step).submitted == ((0, 1, 2, 3),) * CUT.stages
    loop = averaged_in_a_loop(pipelines, STEPS)
    assert states(pipelines) == [{worker.state().digest} for worker in loop]


def test_the_clipping_radius_changes_the_average() -> None:
    ends = []
    for tau in (0.005, 10.0):
        pipelines = pipelines_of(tau=tau)
        pipelines.step(0)
        ends.append(states(pipelines))
    assert all(one != other for one, other in zip(*ends, strict=True))


def test_each_pipeline_has_its_own_micro_batches() -> None:
    pipelines = pipelines_of(seed=SEEDS - 1)
    pipelines.step(0)
    losses = [stages[-1].reports[-1].loss for stages in pipelines.stages]
    assert len(set(losses)) == REPLICAS


def test_validators_find_nothing_wrong_with_honest_replicas() -> None:
    pipelines = pipelines_of(share=0.25, conditions=NetworkConditions(delay=(0.001, 0.3)))
    steps = [pipelines.step(step) for step in range(6)]
    assert not any(step.bans for step in steps)
    assert any(len(submitted) < REPLICAS for step in steps for submitted in step.submitted), "nobody has validated"
    assert all(len(digests) == 1 for digests in states(pipelines))


@pytest.mark.parametrize("codec", ["delta:bits=4", "fp16"])
def test_replicas_average_behind_codecs(codec: str) -> None:
    def samples(step: int) -> list[list[int]]:
        return [[0, 1], [2, 3]]

    pipelines = pipelines_of(share=0.25, forward_codec=codec, backward_codec="fixpoint:bits=8", samples=samples)
    steps = [pipelines.step(step) for step in range(4)]
    assert not any(step.bans for step in steps)
    assert all(len(digests) == 1 for digests in states(pipelines))


def test_averaging_with_oneself_alone_changes_no_bit() -> None:
    plain = assemble(CUT, STATE, PLAN, lambda step: batches_of(0, step), checked=False)
    run_stages(plain, 2)

    class Alone(ReplicaMachine):
        """Takes its own gradient for the average."""

        def on_message(self, sender: PeerId, data: bytes) -> list[StageEffect]:
            effects = super().on_message(sender, data)
            return effects if self.own_gradient is None else [*effects, *self.average(0.0, self.own_gradient)]

        def begin(self, now: float, step: int) -> list[StageEffect]:
            effects = super().begin(now, step)
            return effects if self.own_gradient is None else [*effects, *self.average(0.0, self.own_gradient)]

    again = [
        Alone(machine.plan, machine.context.key, worker, lambda step: (), 1)
        for machine, worker in zip(plain, fresh_workers(), strict=True)
    ]
    run_stages(again, 2)
    assert [one.worker.state().digest for one in again] == [one.worker.state().digest for one in plain]


def test_gradients_survive_the_way_into_a_vector() -> None:
    worker = fresh_workers()[1]
    vector = torch.randn(gradient_numbers(worker), generator=torch.Generator().manual_seed(3))
    set_flat_gradient(worker, vector)
    assert torch.equal(flat_gradient(worker), vector)


def test_a_pipeline_that_stands_still_is_a_user_error() -> None:
    pipelines = pipelines_of(conditions=NetworkConditions(loss=1.0))
    with pytest.raises(
        UserError, match="4 of 4 pipelines stand still in step 0: stage 0 of pipeline 0 waits for gradient"
    ):
        pipelines.step(0)
