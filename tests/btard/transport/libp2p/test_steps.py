"""Whole steps over real streams, while strangers do all that they can to everybody."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import struct
from concurrent.futures import ThreadPoolExecutor

import torch

from benchmarks.given import GivenVectors
from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import IdentityKey, PeerId
from btard.round.actions import Finished
from btard.round.roster import Roster, first_randomness
from btard.round.session import Session
from btard.transport.driver import SessionDriver
from btard.transport.libp2p import Libp2pNode, Limits
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.incoming import BULK_PROTOCOL, CONTROL_PROTOCOL, FETCH_PROTOCOL
from btard.transport.libp2p.pipe import StreamLost
from tests.btard.round.swarm import RULES
from tests.btard.transport.libp2p.conftest import DEADLINE, Swarm, part_prefix, raw_stream, until

STEPS = 2
PATIENT = dataclasses.replace(
    RULES, commit_seconds=40.0, scatter_seconds=40.0, gather_seconds=40.0, agree_seconds=40.0, delay_bound_seconds=40.0
)
LIMITS = Limits(work_burst_seconds=0.05)
FLOODS = {
    CONTROL_PROTOCOL: (struct.pack(">I", 1) + b"\xff") * 10_000,
    BULK_PROTOCOL: part_prefix(1, 1 << 20) + b"h" + bytes(1 << 20),
    FETCH_PROTOCOL: struct.pack(">I", 5) + b"state",
}


async def flood(liar: Daemon, victim: Libp2pNode, protocol: str) -> None:
    """Write the same for ever, and read nothing."""
    while True:
        pipe = await raw_stream(liar, victim, protocol)
        pipe.pause()
        with contextlib.suppress(StreamLost):
            while True:
                await pipe.write(FLOODS[protocol], DEADLINE)
                if protocol == FETCH_PROTOCOL:
                    await until(lambda pipe=pipe: pipe.lost, DEADLINE)


async def test_steps_end_at_once_while_strangers_flood_everybody(swarm: Swarm) -> None:
    nodes = [(await swarm.node(limits=LIMITS))[0]]
    nodes += [(await swarm.node(nodes[0], limits=LIMITS))[0] for _ in range(2)]
    state = bytes(8 << 20)

    async def serve(peer: PeerId, request: bytes) -> bytes:
        return state

    async def ones() -> torch.Tensor:
        return torch.ones(RULES.dimension)

    roster = Roster(0, tuple(sorted(node.peer_id for node in nodes)), frozenset(), first_randomness(0, 0))
    drivers, worker = [], ThreadPoolExecutor(1)
    for number, node in enumerate(nodes):
        key = IdentityKey.load_or_create(swarm.identities[number])
        session = Session(PATIENT, key, Behaviour())
        executor = GivenVectors(PATIENT, key.peer_id, worker, ones, lambda peer: torch.ones(RULES.dimension))
        driver = SessionDriver(session, node.transport, executor, node.transport.charge)
        node.transport.is_member = roster.members.__contains__
        node.transport.serve_with(serve)
        node.transport.attach(driver)
        drivers.append(driver)
    liars = [await swarm.liar(node) for node in nodes]
    pairs = [(liar, nodes[number], protocol) for number, liar in enumerate(liars) for protocol in FLOODS]
    floods = [asyncio.create_task(flood(*pair)) for pair in pairs]
    await until(lambda: all(node.transport.counters.pauses for node in nodes))
    for step in range(STEPS):
        outcomes = await asyncio.gather(*(driver.run_step(roster, digest(b"state")) for driver in drivers))
        assert all(isinstance(outcome, Finished) and outcome.attempt == 0 for outcome in outcomes)
        assert isinstance(outcomes[0], Finished) and outcomes[0].step == step
        roster = outcomes[0].roster
        assert len(roster.members) == len(nodes)
    answer = await nodes[1].transport.fetch(nodes[0].peer_id, b"state", limit=len(state), timeout_seconds=DEADLINE)
    assert answer == state
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    worker.shutdown()
