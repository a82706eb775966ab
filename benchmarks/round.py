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
import time
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks.transport import hivemind, measure
from benchmarks.usage import PATIENCE_SECONDS, cpu_seconds, memory_and_processes


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

    from benchmarks.loopback import loopback_peer
    from benchmarks.protocol import Protocol
    from btard.round.session import Session

    torch.set_num_threads(1)
    async with loopback_peer(index, pipe) as me:
        protocol = Protocol(Session, me, values, validators=validators, rule=rule)
        before: tuple[float, ...] = ()
        pids = os.getpid(), me.node.daemon_pid
        for number in range(rounds):
            if number == 1:
                before = tuple(map(cpu_seconds, pids))
            run = await protocol.prepare()
            await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
            start = time.monotonic()
            await run()
            pipe.send((start, time.monotonic(), 0.0, 0.0))
        cpu = [cpu_seconds(pid) - start for pid, start in zip(pids, before, strict=True)]
        pipe.send((*cpu, *memory_and_processes()))
        await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)


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
