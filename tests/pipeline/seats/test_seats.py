"""Stages are lost on a virtual clock, others take their seats, and training comes to the same as undisturbed."""

from __future__ import annotations

from functools import lru_cache

import pytest

from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.seats.statements import SeatPhase
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from tests.pipeline.seats.simulated import OPTIMIZER, World, batches
from tests.pipeline.tiny import tiny_config, tiny_state
from tests.quick import quick


@lru_cache
def undisturbed(split: str, steps: int) -> list[float]:
    blocks = Split.parse(split)
    cut = Cut(tiny_config("gpt2", blocks=sum(blocks.blocks)), blocks)
    machines = assemble(cut, tiny_state(cut.config), OPTIMIZER, batches, checked=False)
    return [report.loss or 0.0 for report in run_stages(machines, steps)[-1].reports]


def assert_undisturbed(world: World, split: str) -> None:
    assert [world.losses[step] for step in range(world.steps)] == undisturbed(split, world.steps)


@pytest.mark.parametrize("split", ["1", "1-1", "1-1-1-1"])
def test_a_pipeline_over_messages_trains_to_its_end(split: str) -> None:
    world = World.of(Split.parse(split).stages, split, 4)
    world.run()
    assert [seating.number for seating in world.seatings] == [1, 2]
    assert_undisturbed(world, split)


@pytest.mark.parametrize("checked", quick(1, [True, False]))
def test_three_stages_lost_in_turn_change_no_bit(checked: bool) -> None:
    world = World.of(7, "1-1-1-1", 12, checked=checked)
    victims = {2: 1, 5: 3, 8: 0}

    def kill() -> None:
        for step, stage in list(victims.items()):
            if world.losses and max(world.losses) >= step:
                world.occupant_of(stage).crashed = True
                del victims[step]

    world.on_poll = kill
    world.run()
    assert not victims
    assert len(world.seatings) == 5
    assert_undisturbed(world, "1-1-1-1")
    assert all(2 * len(peer.states) < 20 for peer in world.peers), "old states are forgotten"


def test_a_lost_stage_waits_for_a_peer_to_take_its_seat() -> None:
    world = World.of(3, "1-1-1", 6)

    def kill() -> None:
        if world.losses and max(world.losses) >= 2 and world.network.now < 100:
            world.occupant_of(1).crashed = True

    world.on_poll = kill
    world.network.at(100.0, lambda: world.add(9))
    world.run()
    assert world.network.now > 100
    assert_undisturbed(world, "1-1-1")


def test_lost_messages_cost_time_and_change_no_bit() -> None:
    world = World.of(3, "1-1-1", 5, loss=0.04)
    world.run()
    assert len(world.seatings) > 2, "nothing was lost"
    assert_undisturbed(world, "1-1-1")


def test_a_mute_stage_loses_its_seat_in_the_end() -> None:
    world = World.of(4, "1-1-1", 4)
    world.peers[2].mute = True
    world.run()
    assert world.peers[2].peer_id not in world.seatings[-1].seats
    assert_undisturbed(world, "1-1-1")


def lose_neighbours(world: World) -> None:
    def kill() -> None:
        if world.losses and max(world.losses) >= 3 and len(world.seatings) == 1:
            world.occupant_of(1).crashed = world.occupant_of(2).crashed = True

    world.on_poll = kill


def test_a_state_is_with_those_that_wait_when_neighbours_go() -> None:
    world = World.of(8, "1-1-1-1", 6)
    lose_neighbours(world)
    world.run()
    assert world.seatings[1].step > 0
    assert_undisturbed(world, "1-1-1-1")


def test_training_begins_anew_when_a_state_is_lost_everywhere() -> None:
    world = World.of(4, "1-1-1-1", 6)
    lose_neighbours(world)
    world.network.at(100.0, lambda: [world.add(number) for number in (8, 9)] and None)
    world.run()
    assert world.seatings[1].step == 0
    assert_undisturbed(world, "1-1-1-1")


def test_a_peer_started_anew_brings_all_back_to_the_last_state() -> None:
    world = World.of(3, "1-1-1", 8)
    again = []

    def restart() -> None:
        if world.losses and max(world.losses) >= 3 and not again:
            old = world.occupant_of(1)
            old.crashed = True
            world.peers.remove(old)
            again.append(world.add(_number(old)))

    world.on_poll = restart
    world.run()
    assert again[0].occupant.phase is not SeatPhase.WAITING
    assert_undisturbed(world, "1-1-1")


def _number(peer) -> int:
    return peer.occupant.key.seed[0] - 1
