"""Time a whole round of the protocol, commit to digest, beside hivemind's averager on the same vectors in one run.

Every peer is a process with its own p2pd on loopback. Ours does all that a training step does after the gradient:
hash all parts, commit, scatter, CenteredClip (or mean), gather, reveal, measure, check, agree; validators examine what
their targets sent in the round before. hivemind's is `step` of a
DecentralizedAverager of as many float32 values, which averages without any of this; `without matchmaking` counts its
all-reduce alone. Memory is the PSS of a peer with all its processes at the end.

    python -m benchmarks.round --peers 8 --values 18000000
    python -m benchmarks.round --peers 16 --values 1000000
    python -m benchmarks.round --peers 4 --values 5000000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.transport import PATIENCE_SECONDS, cpu_seconds, hivemind, measure, memory_and_processes

if TYPE_CHECKING:
    import torch


async def run_round(
    rule: str,
    validators: float,
    index: int,
    peers: int,
    values: int,
    rounds: int,
    pipe: Connection,
    barrier: Barrier,
) -> None:
    """Be one peer: exchange addresses through the parent, run the rounds, report start and end of each."""
    import torch

    from benchmarks.given import GivenVectors
    from btard.behaviour import Behaviour
    from btard.hashing import digest
    from btard.identity import IdentityKey
    from btard.round.actions import Finished
    from btard.round.roster import Roster, first_randomness
    from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
    from btard.round.session import Session
    from btard.round.vectors.buffers import BufferPool
    from btard.transport.base import PeerAddress
    from btard.transport.driver import SessionDriver
    from btard.transport.libp2p import Libp2pNode
    from btard.transport.libp2p.discover import split_maddr
    from btard.vocabulary import WireType

    torch.set_num_threads(1)
    aggregation = AggregationRules(rule, tau=1.0, reference_peers=peers)
    verification = VerificationRules(validators=validators)
    rules = StepRules(bytes(NONCE_SIZE), values, WireType.FLOAT32, *[PATIENCE_SECONDS] * 5, aggregation, verification)
    with tempfile.TemporaryDirectory() as directory:
        identity = Path(directory) / "identity.key"
        key = IdentityKey.load_or_create(identity)
        node = await Libp2pNode.create(identity, startup_timeout_seconds=PATIENCE_SECONDS)
        worker = ThreadPoolExecutor(1)
        try:
            pipe.send(node.maddrs[0])
            addresses = [split_maddr(text) for text in pipe.recv()]
            for peer, maddr in addresses[index + 1 :]:
                await node.transport.connect(PeerAddress(peer, (maddr,)))
            session = Session(rules, key, Behaviour(), BufferPool())
            order = {peer: number for number, (peer, _) in enumerate(addresses)}
            vector = vector_of(values, index)

            async def own() -> torch.Tensor:
                return vector

            executor = GivenVectors(rules, key.peer_id, worker, own, lambda peer: vector_of(values, order[peer]))
            driver = SessionDriver(session, node.transport, executor, node.transport.charge)
            node.transport.attach(driver)
            members = tuple(sorted(peer for peer, _ in addresses))
            roster = Roster(0, members, frozenset(), first_randomness(0, 0))
            before: tuple[float, ...] = ()
            pids = os.getpid(), node.daemon_pid
            for number in range(rounds):
                if number == 1:
                    before = tuple(map(cpu_seconds, pids))
                await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
                start = time.monotonic()
                outcome = await driver.run_step(roster, digest(b"state"))
                if not isinstance(outcome, Finished) or outcome.attempt:
                    raise RuntimeError(f"the round did not succeed at once: {outcome}")
                pipe.send((start, time.monotonic(), 0.0, 0.0))
                roster = outcome.roster
            cpu = [cpu_seconds(pid) - start for pid, start in zip(pids, before, strict=True)]
            pipe.send((*cpu, *memory_and_processes()))
            await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
        finally:
            await node.close()
            worker.shutdown()


def vector_of(values: int, index: int) -> torch.Tensor:
    """Return the vector of a peer, (values,) float32: a window of one long vector, so that a validator's recomputation
    costs nothing; in a real step it takes the place of computing an own gradient."""
    return _long_vector(values)[1009 * index :][:values]


@lru_cache(maxsize=1)
def _long_vector(values: int) -> torch.Tensor:
    import torch

    return torch.randn(values + 1009 * 256, generator=torch.Generator().manual_seed(7))


def ours(
    rule: str, validators: float, index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier
) -> None:
    """Process entry of one of our peers."""
    import uvloop

    uvloop.run(run_round(rule, validators, index, peers, values, rounds, pipe, barrier))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=8, help="number of peers (default: 8)")
    parser.add_argument("--values", type=int, default=18_000_000, help="float32 values (default: 18000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds measured after one to warm up (default: 5)")
    parser.add_argument("--rule", default="centered_clip", help="of ours, with its parameters (default: centered_clip)")
    parser.add_argument("--validators", type=float, help="mean number a round (default: one per 16 peers)")
    parser.add_argument("--only", choices=["ours", "hivemind"], help="run one of the two (default: both)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    row: dict[str, Any] = {"peers": arguments.peers, "values": arguments.values, "rule": arguments.rule}
    validators = arguments.peers / 16 if arguments.validators is None else arguments.validators
    entries = {"ours": partial(ours, arguments.rule, validators), "hivemind": hivemind}
    for name, entry in entries.items():
        if arguments.only in (None, name):
            row[name] = measure(entry, arguments.peers, arguments.values, arguments.rounds + 1)
            print(describe(name, row), flush=True)
    if "ours" in row and "hivemind" in row:
        mine = statistics.median(row["ours"]["step"][1:])
        theirs = statistics.median(row["hivemind"]["step"][1:])
        span = statistics.median(row["hivemind"]["span"][1:])
        memory = statistics.median(row["ours"]["memory"]) / statistics.median(row["hivemind"]["memory"])
        print(
            f"ratio of medians, ours / hivemind's step: {mine / theirs:.2f}; "
            f"/ hivemind without matchmaking: {mine / span:.2f}; memory a peer: {memory:.2f}"
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(row, indent=2))


def describe(name: str, row: dict[str, Any]) -> str:
    """Return one line: rounds without the first, memory and processes of a peer."""
    steps = row[name]["step"][1:]
    memory, processes = statistics.median(row[name]["memory"]), statistics.median(row[name]["processes"])
    return (
        f"{row['peers']} peers x {row['values']:,} values, {name}: median {statistics.median(steps):.2f} s, "
        f"min {min(steps):.2f}, max {max(steps):.2f}; a peer: {memory:.0f} MB PSS, {processes:.0f} processes"
    )


if __name__ == "__main__":
    main()
