"""Time a round with all of BTARD's security beside the same round without any of it, in one run.

Both are a butterfly all-reduce with CenteredClip over p2pd on loopback, by the same transport, one process a peer. The
plain one sends parts, clips, sends aggregates, and believes everyone: no hashes, signatures, commitments, randomness,
projections, checks, validators or agreement. The secure one is the protocol. The two take turns, since the machine may
have other things to do.

    python -m benchmarks.security --peers 8 --values 18000000
    python -m benchmarks.security --peers 16 --values 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.round import ours, vector_of
from benchmarks.transport import PATIENCE, RoundInbox, cpu_seconds, measure, memory_and_processes


class _NoHash:
    """Stands for BLAKE3 in the transport of the plain round, which hashes nothing."""

    def update(self, data: memoryview) -> None:
        """Take no notice."""

    def digest(self) -> bytes:
        """Return nothing of use."""
        return bytes(32)


async def run_plain(index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier) -> None:
    """Be one peer of the plain round: exchange addresses through the parent, report start and end of each round."""
    import torch

    from btard.aggregation import centered_clip
    from btard.round.partition import Partition, WireType, from_wire, to_wire
    from btard.transport.base import PeerAddress
    from btard.transport.libp2p import Libp2pNode, incoming
    from btard.transport.libp2p.discover import split_maddr

    incoming.blake3 = _NoHash  # type: ignore[assignment, misc]
    torch.set_num_threads(1)
    inbox = RoundInbox()
    partition = Partition(values, peers, WireType.FLOAT32)
    with tempfile.TemporaryDirectory() as directory:
        node = await Libp2pNode.create(Path(directory) / "identity", inbox=inbox, startup_timeout=PATIENCE)
        try:
            pipe.send(node.maddrs[0])
            addresses = [split_maddr(text) for text in pipe.recv()]
            for peer, maddr in addresses[index + 1 :]:
                await node.transport.connect(PeerAddress(peer, (maddr,)))
            flat = to_wire(vector_of(values, index), WireType.FLOAT32)
            others = [(peer, part) for part, (peer, _) in enumerate(addresses) if part != index]
            others = others[index:] + others[:index]
            before: tuple[float, ...] = ()
            pids = os.getpid(), node.daemon_pid
            for number in range(rounds):
                if number == 1:
                    before = tuple(map(cpu_seconds, pids))
                await asyncio.to_thread(barrier.wait, PATIENCE)
                start = time.monotonic()
                for peer, part in others:
                    node.transport.send_part(peer, b"p%d" % number, partition.view(flat, part))
                received = await inbox.wait_for(b"p%d" % number, peers - 1)
                rows = [*received.values(), partition.view(flat, index)]
                clip = partial(centered_clip, [from_wire(row, WireType.FLOAT32) for row in rows], tau=1.0)
                aggregate = to_wire((await asyncio.to_thread(clip)).value, WireType.FLOAT32)
                for peer, _ in others:
                    node.transport.send_part(peer, b"a%d" % number, aggregate)
                await inbox.wait_for(b"a%d" % number, peers - 1)
                pipe.send((start, time.monotonic(), 0.0, 0.0))
            cpu = [cpu_seconds(pid) - start for pid, start in zip(pids, before, strict=True)]
            pipe.send((*cpu, *memory_and_processes()))
            await asyncio.to_thread(barrier.wait, PATIENCE)
        finally:
            await node.close()


def plain(index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier) -> None:
    """Process entry of one plain peer."""
    import uvloop

    uvloop.run(run_plain(index, peers, values, rounds, pipe, barrier))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=8, help="number of peers (default: 8)")
    parser.add_argument("--values", type=int, default=18_000_000, help="float32 values (default: 18000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind a turn, after one to warm up")
    parser.add_argument("--turns", type=int, default=3, help="how often the two take turns (default: 3)")
    parser.add_argument("--validators", type=float, help="mean number a round (default: one per 16 peers)")
    arguments = parser.parse_args()
    validators = arguments.peers / 16 if arguments.validators is None else arguments.validators
    times: dict[str, list[float]] = {"plain": [], "secure": []}
    entries = {"plain": plain, "secure": partial(ours, "centered_clip", validators)}
    for turn in range(arguments.turns):
        for name, entry in entries.items():
            row = measure(entry, arguments.peers, arguments.values, arguments.rounds + 1)
            times[name] += row["step"][1:]
            seconds = statistics.median(row["step"][1:])
            memory = statistics.median(row["memory"])
            share = arguments.rounds * arguments.peers
            python, daemon = (row[which][0] / share for which in ("cpu_python", "cpu_p2pd"))
            print(
                f"turn {turn + 1}, {name}: median {seconds:.3f} s a round; a peer: processor {python:.3f} s in Python, "
                f"{daemon:.3f} s in p2pd; {memory:.0f} MB PSS",
                flush=True,
            )
    plain_time, secure_time = (statistics.median(times[name]) for name in ("plain", "secure"))
    print(
        f"{arguments.peers} peers x {arguments.values:,} values, {validators:g} validators: plain {plain_time:.3f} s, "
        f"secure {secure_time:.3f} s, ratio of medians {secure_time / plain_time:.2f}"
    )


if __name__ == "__main__":
    main()
