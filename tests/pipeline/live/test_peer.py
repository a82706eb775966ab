"""Peers of a pipeline on real sockets: a stage over libp2p, and what strangers send meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from btard.behaviour import Behaviour
from btard.identity import Envelope, IdentityKey, MessageKind
from btard.pipeline.live import peer as live_peer
from btard.pipeline.live.build import StageBuilder, cut_of, numbers_of
from btard.pipeline.live.gate import NOTE_MARK, SEATING_MARK, header_of
from btard.pipeline.live.peer import LivePeer
from btard.pipeline.live.rounds import ReplicaRounds
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.replicas.rules import AveragingRules
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import MAX_STANCE, NoteKind, SeatNote, SeatPhase, Stance
from btard.pipeline.seats.usher import Usher, UsherPlan
from btard.pipeline.stages.weights import draw_weights
from btard.round.messages.bodies import Phase
from btard.swarm.door.reception import Reception
from btard.swarm.events.log import EventLog
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.swarm.questions import Question, Want
from btard.tasks.registry import load_task
from btard.transport.libp2p import FetchError, Libp2pNode
from tests.btard.transport.libp2p.conftest import Swarm
from tests.coordinator.swarm import manifest
from tests.coordinator.test_pipeline_terms import TERMS
from tests.ending import end_all
from tests.quick import quick

pytestmark = pytest.mark.swarm

TASK = load_task("gpt", "tiny")


REPLICAS = {"replicas": 4, "tau": 0.1, "check": "drawn", "share": 0.0, "keep_every": 1, "micro_batches": 1}


def run_of(steps: int, **changes: Any) -> RunManifest:
    """Return a run of two stages."""
    terms = PipelineTerms(**{**TERMS, "blocks": (1, 1), **changes})
    return manifest(
        task="gpt",
        pipeline=terms.model_dump(),
        dimension=numbers_of(cut_of(terms, TASK)),
        total_steps=steps,
        fingerprint=TASK.fingerprint,
    )


RUN = run_of(6)


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    made = Swarm(tmp_path)
    try:
        yield made
    finally:
        await made.close()


def undisturbed(run: RunManifest) -> list[float | None]:
    builder = StageBuilder(run, TASK)
    keys = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(2)]
    seating = Seating(run.run, 1, 0, tuple(key.peer_id for key in keys), (DRAWN,) * 2)
    machines = [builder.machine(seating, key, stage, {stage: None}) for stage, key in enumerate(keys)]
    return [report.loss for report in run_stages(machines, run.total_steps)[-1].reports]


class Pipeline:
    """A coordinator by hand, and peers in this process."""

    def __init__(self, swarm: Swarm, directory: Path, run: RunManifest = RUN) -> None:
        self.swarm, self.directory, self.run = swarm, directory, run
        self.running: list[asyncio.Task[int]] = []
        self.nodes: list[Libp2pNode] = []
        self.logs: list[Path] = []

    async def start(self, peers: int) -> None:
        self.coordinator, _ = await self.swarm.node()
        self.key = IdentityKey.load(self.swarm.identities[0])
        body = self.run.model_dump_json().encode()
        self.signed = Envelope.sign(self.key, run=self.run.run, step=0, kind=MessageKind.MANIFEST, body=body)
        for _ in range(peers):
            node, _ = await self.swarm.node(self.coordinator)
            self.nodes.append(node)
            self.logs.append(self.directory / f"log{len(self.logs)}.jsonl")
            peer = LivePeer(
                IdentityKey.load(self.swarm.identities[-1]),
                Behaviour(),
                self.coordinator.peer_id,
                StageBuilder(self.run, TASK),
                node.transport,
                Reception(self.signed),
                self.directory,
                EventLog(self.logs[-1]),
            )
            self.running.append(asyncio.ensure_future(peer.run()))
        self.coordinator.transport.is_member = lambda _: True

    async def stance(self, node: Libp2pNode) -> Stance:
        question = Question(want=Want.STANCE).encode()
        return Stance.decode(
            await self.coordinator.transport.fetch(node.peer_id, question, limit=MAX_STANCE, timeout_seconds=20)
        )

    async def seat_all(self, number: int) -> None:
        """Give all peers a seat of a seating from step 0 on, and return once each has trained a step."""
        seats = tuple(node.peer_id for node in self.nodes)
        self.tell(Seating(self.run.run, number, 0, seats, (DRAWN,) * 2))
        behind = list(self.nodes)
        while behind:
            stances = [(node, await self.stance(node)) for node in behind]
            behind = [node for node, stance in stances if stance.number < number or stance.step == 0]
            await asyncio.sleep(0.05)

    def tell(self, seating: Seating) -> None:
        for node in self.nodes:
            self.coordinator.transport.send(node.peer_id, SEATING_MARK + seating.sign(self.key))

    async def train(self) -> None:
        assert self.run.pipeline is not None
        usher = Usher(UsherPlan(self.run.run, 2, silent_seconds=60.0, replicas=self.run.pipeline.replicas))
        here = {node.peer_id: tuple(m.split("/p2p/")[0] for m in node.maddrs) for node in self.nodes}
        async with asyncio.timeout(120):
            while not usher.is_finished(asyncio.get_running_loop().time()):
                now = asyncio.get_running_loop().time()
                for node in self.nodes:
                    usher.hear(now, node.peer_id, await self.stance(node))
                if (seating := usher.look(now, here)) is not None:
                    self.tell(seating)
                await asyncio.sleep(0.05)
            self.states = usher.final_states()
            self.tell(usher.end(0.0))
            assert set(await asyncio.gather(*self.running)) == {0}

    def told(self) -> list[dict[str, Any]]:
        told = [json.loads(line) for log in self.logs for line in log.read_text().splitlines()]
        return [line for line in told if line["event"] == "stage" and line["stage"] == 1]

    def losses(self) -> list[float | None]:
        return [line["loss"] for line in self.told()]

    def steps(self) -> list[int]:
        return [line["step"] for line in self.told()]


@pytest.mark.parametrize("run", quick(1, [RUN, run_of(2, order="gpipe", micro_batches=9)]), ids=["1f1b", "gpipe"])
async def test_two_stages_over_libp2p_train_as_simulated_ones(swarm: Swarm, tmp_path: Path, run: RunManifest) -> None:
    pipeline = Pipeline(swarm, tmp_path, run)
    await pipeline.start(2)
    try:
        await pipeline.train()
    finally:
        await end_all(pipeline.running)
    assert pipeline.losses() == undisturbed(pipeline.run)


async def test_replicas_over_libp2p_train_as_simulated_ones(swarm: Swarm, tmp_path: Path) -> None:
    run = run_of(3, **REPLICAS)
    builder, terms = StageBuilder(run, TASK), run.pipeline
    assert terms is not None
    seating = Seating(
        run.run, 1, 0, tuple(IdentityKey.from_seed(bytes([n + 1]) * 32).peer_id for n in range(8)), (DRAWN,) * 2
    )
    state, plans = draw_weights(builder.cut.config, run.seed), [builder.plan(seating, n) for n in range(4)]
    simulated = Pipelines(builder.cut, state, builder.optimizer, plans, AveragingRules(terms.tau, terms.share))
    expected = [simulated.step(step).loss for step in range(3)]
    pipeline = Pipeline(swarm, tmp_path, run)
    await pipeline.start(8)
    try:
        await pipeline.train()
    finally:
        await end_all(pipeline.running)
    told = sorted(zip(pipeline.steps(), pipeline.losses(), strict=True))
    means = [sum(loss for at, loss in told if at == step) / 4 for step in range(3)]
    assert means == pytest.approx(expected, rel=1e-5), "replicas train on other samples, or average otherwise"
    assert pipeline.states[0] == 3, "most replicas of a stage do not hold one state at the end"


async def test_rounds_of_another_seating_know_the_pace(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[float | None] = []

    class Noted(ReplicaRounds):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            known.append(arguments[-1].usual(Phase.COMMIT))

    monkeypatch.setattr(live_peer, "ReplicaRounds", Noted)
    pipeline = Pipeline(swarm, tmp_path, run_of(1000, **REPLICAS))
    await pipeline.start(8)
    try:
        async with asyncio.timeout(120):
            await pipeline.seat_all(1)
            await pipeline.seat_all(2)
    finally:
        await end_all(pipeline.running)
    assert known[:8] == [None] * 8, "the first rounds have nothing to go by"
    assert len(known) == 16 and None not in known[8:]


async def test_strangers_and_nonsense_change_nothing(swarm: Swarm, tmp_path: Path) -> None:
    pipeline = Pipeline(swarm, tmp_path)
    await pipeline.start(2)
    stranger, _ = await swarm.node(pipeline.coordinator, *pipeline.nodes)
    own = IdentityKey.load(swarm.identities[-1])

    async def annoy() -> None:
        seats = tuple(node.peer_id for node in pipeline.nodes)
        false = Seating(RUN.run, 1, 0, (own.peer_id, seats[0]), (DRAWN,) * 2)
        sent: list[Any] = [b"", b"nonsense", SEATING_MARK + false.sign(own), NOTE_MARK + b"x"]
        sent.append(NOTE_MARK + SeatNote(NoteKind.READY, 1).encode())
        count = 0
        while True:
            for node in pipeline.nodes:
                for data in sent:
                    stranger.transport.send(node.peer_id, data)
                stranger.transport.send_part(node.peer_id, header_of(false.messages_run, count), bytes(1000))
                count += 1
            await asyncio.sleep(0.02)

    annoying = asyncio.ensure_future(annoy())
    try:
        for want in (Want.STANCE, Want.HEAD, Want.STATE):
            with pytest.raises(FetchError):
                question = Question(want=want, known="00" * 32).encode()
                await stranger.transport.fetch(
                    pipeline.nodes[0].peer_id, question, limit=MAX_STANCE, timeout_seconds=20
                )
        assert (await pipeline.stance(pipeline.nodes[0])).phase is SeatPhase.WAITING
        await pipeline.train()
    finally:
        await end_all([annoying, *pipeline.running])
    assert pipeline.losses() == undisturbed(pipeline.run)
