"""Time an all-to-all exchange over the libp2p transport beside hivemind's averager on the same vectors.

Every peer is a process with its own p2pd on loopback. A round of ours: part j of each vector goes to peer j, which
averages what it has got and sends the same bytes to everyone; everything received is hashed. A round of hivemind:
`step` of a DecentralizedAverager with as many float32 values, timed whole and, as `span`, without matchmaking.

    python -m benchmarks.transport --peers 8 --values 18000000 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing as mp
import os
import statistics
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.usage import PATIENCE_SECONDS, cpu_seconds, memory_and_processes


class RoundInbox:
    """Collects the parts and aggregates of one round; a header is b"p" or b"a" and the round's number."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[bytes, bytes], memoryview] = {}
        self.arrived: dict[bytes, dict[bytes, memoryview]] = {}
        self.changed = asyncio.Event()

    def on_message(self, sender: bytes, data: bytes) -> None:
        """Messages are not part of the benchmark."""

    def accept_part(self, sender: bytes, header: bytes, length: int) -> memoryview:
        """Reuse one buffer a sender and kind, as a peer does from step to step."""
        key = (bytes(sender), header[:1])
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) != length:
            buffer = self._buffers[key] = memoryview(bytearray(length))
        return buffer

    def on_part(self, sender: bytes, header: bytes, payload: memoryview, digest: bytes) -> bool:
        """Note what is complete."""
        self.arrived.setdefault(header, {})[bytes(sender)] = payload
        self.changed.set()
        return False

    def on_part_failed(self, sender: bytes, header: bytes) -> None:
        """On loopback nothing fails; the round would then run out of time."""

    async def wait_for(self, header: bytes, count: int) -> dict[bytes, memoryview]:
        """Return the payloads by sender once `count` of them are there."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.arrived.get(header, ())) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.arrived.pop(header)


async def run_ours(index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier) -> None:
    """Be one peer: exchange addresses through the parent, run the rounds, report start and end of each."""
    from benchmarks.loopback import loopback_peer

    inbox = RoundInbox()
    async with loopback_peer(index, pipe) as me:
        send = me.node.transport.send_part
        me.node.transport.attach(inbox)
        vector = np.random.default_rng(index).standard_normal(values, dtype=np.float32)
        bounds = [values * part // peers for part in range(peers + 1)]
        parts = [vector[low:high] for low, high in itertools.pairwise(bounds)]
        others = [(peer, parts[j]) for j, peer in enumerate(me.peers) if j != index]
        others = others[index:] + others[:index]
        before = cpu_seconds(os.getpid()), cpu_seconds(me.node.daemon_pid)
        for number in range(rounds):
            await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
            start = time.monotonic()
            for peer, part in others:
                send(peer, b"p%d" % number, memoryview(part).cast("B"))
            received = await inbox.wait_for(b"p%d" % number, peers - 1)
            aggregate = parts[index].copy()
            for payload in received.values():
                aggregate += np.frombuffer(payload, np.float32)
            aggregate /= peers
            for peer, _ in others:
                send(peer, b"a%d" % number, memoryview(aggregate).cast("B"))
            await inbox.wait_for(b"a%d" % number, peers - 1)
            pipe.send((start, time.monotonic(), 0.0, 0.0))
        cpu = cpu_seconds(os.getpid()) - before[0], cpu_seconds(me.node.daemon_pid) - before[1]
        pipe.send((*cpu, *memory_and_processes()))
        await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)


def ours(index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier) -> None:
    """Process entry of one of our peers."""
    import uvloop

    uvloop.run(run_ours(index, peers, values, rounds, pipe, barrier))


def hivemind(index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier) -> None:
    """Process entry of one hivemind peer."""
    import torch
    from hivemind import DHT
    from hivemind.averaging import DecentralizedAverager

    torch.set_num_threads(1)
    mp.set_start_method("fork", force=True)  # hivemind pickles neither its averager nor subclasses of it
    span = mp.RawArray("d", 2)

    class TimedAverager(DecentralizedAverager):
        async def _aggregate_with_group(self, *args: Any, **kwargs: Any) -> Any:
            span[0] = time.monotonic()
            result = await super()._aggregate_with_group(*args, **kwargs)
            span[1] = time.monotonic()
            return result

    initial = [] if index == 0 else [pipe.recv()]
    dht = DHT(initial_peers=initial, start=True, startup_timeout=PATIENCE_SECONDS)
    pipe.send(str(dht.get_visible_maddrs()[0]))
    tensor = torch.randn(values, generator=torch.Generator().manual_seed(index))
    averager = TimedAverager(
        [tensor], dht, start=True, prefix="benchmark", target_group_size=peers, min_matchmaking_time=3.5
    )
    for _ in range(rounds):
        barrier.wait(PATIENCE_SECONDS)
        start = time.monotonic()
        group = averager.step(timeout=PATIENCE_SECONDS, allow_retries=False)
        if group is None or len(group) != peers:
            raise RuntimeError(f"hivemind averaged with {len(group or ())} of {peers} peers")
        pipe.send((start, time.monotonic(), span[0], span[1]))
    pipe.send((0.0, 0.0, *memory_and_processes()))
    barrier.wait(PATIENCE_SECONDS)
    averager.shutdown()
    dht.shutdown()


def measure(entry: Any, peers: int, values: int, rounds: int) -> dict[str, list[float]]:
    """Run one kind of swarm; return seconds a round from the common start to the last peer's end, and what else the
    peers tell of each: hivemind's all-reduce alone (`span`), or the processor time of ours."""
    context = mp.get_context("spawn")
    barrier = context.Barrier(peers)
    pipes, processes = [], []
    addresses: list[str] = []
    try:
        for index in range(peers):
            mine, theirs = context.Pipe()
            process = context.Process(target=entry, args=(index, peers, values, rounds, theirs, barrier))
            process.start()
            theirs.close()
            pipes.append(mine)
            processes.append(process)
            if entry is hivemind:
                if index:
                    mine.send(addresses[0])
                else:
                    addresses.append(_receive(mine))
        started = pipes[1:] if entry is hivemind else pipes
        addresses += [_receive(pipe) for pipe in started]
        if entry is not hivemind:
            for pipe in pipes:
                pipe.send(addresses)
        result: dict[str, list[float]] = {"step": [], "span": [], "python": [], "p2pd": []}
        for _ in range(rounds):
            times = [_receive(pipe) for pipe in pipes]
            result["step"].append(max(t[1] for t in times) - min(t[0] for t in times))
            if entry is hivemind:
                result["span"].append(max(t[3] for t in times) - min(t[2] for t in times))
            else:
                result["python"].append(sum(t[2] for t in times))
                result["p2pd"].append(sum(t[3] for t in times))
        usage = [_receive(pipe) for pipe in pipes]
        result["cpu_python"], result["cpu_p2pd"] = [sum(u[0] for u in usage)], [sum(u[1] for u in usage)]
        result["memory"], result["processes"] = [u[2] for u in usage], [u[3] for u in usage]
        for process in processes:
            process.join(30)
        return result
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE_SECONDS):
        raise TimeoutError(f"a peer said nothing for {PATIENCE_SECONDS:g} s")
    return pipe.recv()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, nargs="+", default=[8], help="numbers of peers (default: 8)")
    parser.add_argument(
        "--values", type=int, nargs="+", default=[18_000_000], help="float32 values in a vector (default: 18000000)"
    )
    parser.add_argument("--rounds", type=int, default=4, help="rounds measured after one to warm up (default: 4)")
    parser.add_argument("--only", choices=["ours", "hivemind"], help="run one of the two (default: both)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    rows = []
    for peers in arguments.peers:
        for values in arguments.values:
            row: dict[str, Any] = {"peers": peers, "values": values}
            for entry in (ours, hivemind):
                if arguments.only in (None, entry.__name__):
                    row[entry.__name__] = measure(entry, peers, values, arguments.rounds + 1)
            rows.append(row)
            print(describe(row), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2))


def describe(row: dict[str, Any]) -> str:
    """Return one line: medians without the first round, and how they compare."""
    text = f"{row['peers']} peers x {row['values']:,} values:"
    medians = {}
    for kind in ("ours", "hivemind"):
        if kind in row:
            steps = row[kind]["step"][1:]
            medians[kind] = statistics.median(steps)
            text += f" {kind} {medians[kind]:.2f} s (min {min(steps):.2f}),"
    if len(medians) == 2:
        span = statistics.median(row["hivemind"]["span"][1:])
        ratio = medians["ours"] / medians["hivemind"]
        text += f" hivemind without matchmaking {span:.2f} s; ratio {ratio:.2f}, {medians['ours'] / span:.2f} without"
    if "ours" in row:
        rounds = len(row["ours"]["step"])
        python, p2pd = row["ours"]["cpu_python"][0] / rounds, row["ours"]["cpu_p2pd"][0] / rounds
        text += f"; our CPU a round {python:.2f} s Python, {p2pd:.2f} s p2pd"
    return text


if __name__ == "__main__":
    main()
