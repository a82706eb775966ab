"""Replicas average over any transport; what one shows of a step nobody sees before that step is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from btard.behaviour import Behaviour
from btard.identity import PeerId
from btard.pipeline.live.gate import ROUND_MARK
from btard.pipeline.live.rounds import ReplicaRounds
from btard.pipeline.machine.plan import AwaitAverage
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.rules import AveragingRules, replica_rules, round_nonce
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.round.attempt.pace import Pace
from btard.swarm.manifest import Deadlines
from btard.swarm.questions import Question, Want
from tests.pipeline.replicas.small import CUT, pipelines_of

STAGE, REPLICAS = 1, 4
DEADLINES = Deadlines(commit=60, scatter=30, gather=30, agree=20, settle=2)


class Line:
    """A transport that brings everything to rounds in this process, on the event loop."""

    def __init__(self, room: dict[PeerId, ReplicaRounds], peer_id: PeerId) -> None:
        self.room, self.peer_id = room, peer_id

    def charge(self, peer: PeerId, seconds: float) -> None:
        pass

    def send(self, peer: PeerId, data: bytes) -> None:
        assert data.startswith(ROUND_MARK)
        asyncio.get_running_loop().call_soon(lambda: self.room[peer].driver.on_message(self.peer_id, data[1:]))

    def send_part(self, peer: PeerId, header: bytes, payload: memoryview) -> None:
        def arrive() -> None:
            room = self.room[peer].driver.accept_part(self.peer_id, header, len(payload))
            if room is not None:
                room[:] = payload
                self.room[peer].driver.on_part(self.peer_id, header, room, digest_of(room))

        asyncio.get_running_loop().call_soon(arrive)


def digest_of(data: memoryview) -> bytes:
    from btard.hashing import digest

    return digest(data)


class Room:
    """The replicas of one stage, whose pipelines have done the passes of step 0."""

    def __init__(self, pipelines: Pipelines) -> None:
        self.machines: list[ReplicaMachine] = [machines[STAGE] for machines in pipelines.machines]
        seats = tuple(machine.context.key.peer_id for machines in pipelines.machines for machine in machines)
        self.seating = Seating(bytes(16), 1, 0, seats, (DRAWN,) * CUT.stages)
        self.worker = ThreadPoolExecutor(1)
        self.rounds: dict[PeerId, ReplicaRounds] = {}
        gradient = self.machines[0].own_gradient
        assert gradient is not None
        nonce = round_nonce(self.seating.messages_run, STAGE)
        rules = replica_rules(nonce, len(gradient), REPLICAS, AveragingRules(0.01, 0.0), DEADLINES)
        for machine in self.machines:
            key = machine.context.key
            line = Line(self.rounds, key.peer_id)
            self.rounds[key.peer_id] = ReplicaRounds(
                self.seating,
                rules,
                key,
                Behaviour(),
                machine,
                line,
                self.worker,
                1 << 20,
                lambda verdict: None,  # type: ignore[arg-type]
                Pace(rules.delay_bound_seconds),
            )

    def of(self, replica: int) -> ReplicaRounds:
        return self.rounds[self.machines[replica].context.key.peer_id]

    async def submit(self, replica: int, step: int = 0) -> None:
        machine = self.machines[replica]
        assert machine.own_gradient is not None
        await self.of(replica).submit(AwaitAverage(step, machine.own_gradient, machine.record().encode()))

    async def shown(self, replica: int, want: Want, step: int = 0, asker: PeerId | None = None) -> bytes | None:
        other = self.machines[(replica + 1) % REPLICAS].context.key.peer_id
        return await self.of(replica).answer(asker or other, Question(want=want, step=step))


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    pipelines = pipelines_of()
    pipelines._note(0)
    for stages in pipelines.stages:
        for stage in stages:
            stage.begin(0)
    pipelines.network.run(
        done=lambda: all(machine.own_gradient is not None for machines in pipelines.machines for machine in machines)
    )
    made = Room(pipelines)
    try:
        yield made
    finally:
        for rounds in made.rounds.values():
            rounds.end()
        made.worker.shutdown()


async def test_all_replicas_come_to_one_average(room: Room) -> None:
    averaging = [asyncio.ensure_future(room.of(replica).average()) for replica in range(REPLICAS)]
    for replica in range(REPLICAS):
        await room.submit(replica)
    first, *others = await asyncio.wait_for(asyncio.gather(*averaging), 60)
    assert first is not None and all(other is not None and torch.equal(other, first) for other in others)
    assert float(first.norm()) > 0


async def test_a_record_is_shown_once_its_step_is_over(room: Room) -> None:
    averaging = [asyncio.ensure_future(room.of(replica).average()) for replica in range(REPLICAS)]
    for replica in range(REPLICAS - 1):
        await room.submit(replica)
    early = asyncio.ensure_future(room.shown(0, Want.BASE))
    done, _ = await asyncio.wait([early], timeout=0.2)
    assert not done, "it is shown while others may still choose what they commit to"
    assert await room.shown(0, Want.VECTOR, 1) is None
    await room.submit(REPLICAS - 1)
    await asyncio.wait_for(asyncio.gather(*averaging), 60)
    assert await early == room.machines[0].record().encode()
    assert await room.shown(0, Want.VECTOR) is not None
    stranger = room.seating.seats[0]
    assert stranger not in room.rounds and await room.shown(0, Want.BASE, asker=stranger) is None


async def test_a_round_that_is_ended_gives_no_average(room: Room) -> None:
    averaging = asyncio.ensure_future(room.of(0).average())
    await room.submit(0)
    room.of(0).end()
    assert await asyncio.wait_for(averaging, 60) is None
