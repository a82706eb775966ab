"""Time a round with all of BTARD's security beside the same round without it, and beside no security at all.

All three are a butterfly all-reduce with CenteredClip over p2pd on loopback, by the same transport, one process a peer:

- bare: sends parts, clips, sends aggregates, and believes everyone: no hashes, no signatures, no agreement.
- unchecked: the protocol's round without commitments, MPRNG, checks and validators; headers carry hashes, aggregates
  are signed, and all members sign one digest before anything moves.
- secure: the protocol.

The same processes take turns at them, round by round, since the machine may have other things to do.

    python -m benchmarks.security --peers 8 --values 18000000 --rounds 8
    python -m benchmarks.security --peers 16 --values 1000000 --rounds 40
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING

from benchmarks.transport import RoundInbox, measure
from benchmarks.usage import PATIENCE_SECONDS, cpu_seconds, memory_and_processes

if TYPE_CHECKING:
    from benchmarks.loopback import LoopbackPeer

KINDS = ("bare", "unchecked", "secure")


class _NoHash:
    """Stands for BLAKE3 in the transport of the bare round, which hashes nothing."""

    def update(self, data: memoryview) -> None:
        """Take no notice."""

    def digest(self) -> bytes:
        """Return nothing of use."""
        return bytes(32)


class Bare:
    """One peer of rounds without any security."""

    def __init__(self, me: LoopbackPeer, values: int) -> None:
        from benchmarks.protocol import vector_of
        from btard.vectors.partition import Partition, to_wire
        from btard.vocabulary import WireType

        self._index, self._node, self._inbox = me.index, me.node, RoundInbox()
        self._partition = Partition(values, len(me.peers), WireType.FLOAT32)
        self._flat = to_wire(vector_of(values, me.index), WireType.FLOAT32)
        others = [(peer, part) for part, peer in enumerate(me.peers) if part != me.index]
        self._others = others[me.index :] + others[: me.index]
        self._number = 0

    async def prepare(self) -> Callable[[], Awaitable[None]]:
        """Make ready for a round; returns what runs it."""
        from blake3 import blake3

        from btard.transport.libp2p import incoming

        self._node.transport.attach(self._inbox)
        incoming.blake3 = _NoHash  # type: ignore[assignment, misc]

        async def run() -> None:
            await self._round()
            incoming.blake3 = blake3  # type: ignore[misc]

        return run

    async def _round(self) -> None:
        from btard.aggregation import centered_clip
        from btard.vectors.partition import from_wire, to_wire
        from btard.vocabulary import WireType

        self._number += 1
        send, parts = self._node.transport.send_part, b"p%d" % self._number
        for peer, part in self._others:
            send(peer, parts, self._partition.view(self._flat, part))
        received = await self._inbox.wait_for(parts, len(self._others))
        rows = [*received.values(), self._partition.view(self._flat, self._index)]
        clip = partial(centered_clip, [from_wire(row, WireType.FLOAT32) for row in rows], tau=1.0)
        aggregate = to_wire((await asyncio.to_thread(clip)).value, WireType.FLOAT32)
        aggregates = b"a%d" % self._number
        for peer, _ in self._others:
            send(peer, aggregates, aggregate)
        await self._inbox.wait_for(aggregates, len(self._others))


async def run_peer(
    validators: float, index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier
) -> None:
    """Be one peer: exchange addresses through the parent, take turns at the kinds, report times and processor time."""
    import torch

    from benchmarks.loopback import loopback_peer
    from benchmarks.protocol import Protocol
    from benchmarks.unchecked import UncheckedSession
    from btard.round.session import Session

    torch.set_num_threads(1)
    async with loopback_peer(index, pipe) as me:
        kinds = (
            Bare(me, values),
            Protocol(UncheckedSession, me, values, validators=0.0, begins_early=True),
            Protocol(Session, me, values, validators=validators),
        )
        pids = os.getpid(), me.node.daemon_pid
        for number in range(rounds):
            run = await kinds[number % len(kinds)].prepare()
            await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
            before, start = [cpu_seconds(pid) for pid in pids], time.monotonic()
            await run()
            end = time.monotonic()
            await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
            python, daemon = (cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
            pipe.send((start, end, python, daemon))
        pipe.send((0.0, 0.0, *memory_and_processes()))
        await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)


def entry(
    validators: float, index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier
) -> None:
    """Process entry of one peer."""
    import uvloop

    uvloop.run(run_peer(validators, index, peers, values, rounds, pipe, barrier))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=8, help="number of peers (default: 8)")
    parser.add_argument("--values", type=int, default=18_000_000, help="float32 values (default: 18000000)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each kind, after one to warm up (default: 8)")
    parser.add_argument("--validators", type=float, help="mean number a round (default: one per 16 peers)")
    arguments = parser.parse_args()
    validators = arguments.peers / 16 if arguments.validators is None else arguments.validators
    result = measure(partial(entry, validators), arguments.peers, arguments.values, (arguments.rounds + 1) * len(KINDS))
    print(f"{arguments.peers} peers x {arguments.values:,} values, {validators:g} validators, medians of the rounds")
    rounds = {}
    for kind, name in enumerate(KINDS):
        times, *used = (result[what][kind :: len(KINDS)][1:] for what in ("step", "python", "p2pd"))
        rounds[name] = times
        python, daemon = (1e3 * sum(seconds) / arguments.rounds / arguments.peers for seconds in used)
        print(
            f"  {name:<9} {statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f}); "
            f"processor, a peer: {python:.0f} ms in Python, {daemon:.0f} ms in p2pd"
        )
    for less in KINDS[:-1]:
        ratios = [much / little for much, little in zip(rounds["secure"], rounds[less], strict=True)]
        print(f"  secure to {less} in the same turn: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
