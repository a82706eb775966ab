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
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.round import vector_of
from benchmarks.transport import PATIENCE_SECONDS, RoundInbox, cpu_seconds, measure, memory_and_processes

if TYPE_CHECKING:
    import torch

    from btard.identity import IdentityKey, PeerId
    from btard.round.session import Session
    from btard.transport.libp2p import Libp2pNode

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

    def __init__(self, index: int, node: Libp2pNode, peers: list[PeerId], vector: torch.Tensor) -> None:
        from btard.round.vectors.partition import Partition, to_wire
        from btard.vocabulary import WireType

        self._index, self._node, self._inbox = index, node, RoundInbox()
        self._partition = Partition(len(vector), len(peers), WireType.FLOAT32)
        self._flat = to_wire(vector, WireType.FLOAT32)
        others = [(peer, part) for part, peer in enumerate(peers) if part != index]
        self._others = others[index:] + others[:index]
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
        from btard.round.vectors.partition import from_wire, to_wire
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


class Protocol:
    """One peer of rounds of the protocol, or of less of it.

    Args:
        validators: mean number a round.
        begins_early: whether to enter the step before the round's start, as a peer without a barrier must.
    """

    def __init__(
        self,
        session: type[Session],
        node: Libp2pNode,
        key: IdentityKey,
        peers: list[PeerId],
        vector: torch.Tensor,
        worker: ThreadPoolExecutor,
        *,
        validators: float,
        begins_early: bool,
    ) -> None:
        from benchmarks.given import GivenVectors
        from btard.behaviour import Behaviour
        from btard.round.roster import Roster, first_randomness
        from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
        from btard.round.vectors.buffers import BufferPool
        from btard.transport.driver import SessionDriver
        from btard.vocabulary import WireType

        self._node, self._vector, self._begins_early = node, vector, begins_early
        self._started = asyncio.Event()
        aggregation = AggregationRules("centered_clip", tau=1.0, reference_peers=len(peers))
        verification = VerificationRules(validators=validators)
        rules = StepRules(
            bytes(NONCE_SIZE), len(vector), WireType.FLOAT32, *[PATIENCE_SECONDS] * 5, aggregation, verification
        )
        order = {peer: number for number, peer in enumerate(peers)}
        machine = session(rules, key, Behaviour(), BufferPool())
        executor = GivenVectors(rules, key.peer_id, worker, self._own, lambda peer: vector_of(len(vector), order[peer]))
        self._driver = SessionDriver(machine, node.transport, executor, node.transport.charge)
        self._roster = Roster(0, tuple(sorted(peers)), frozenset(), first_randomness(0, 0))

    async def _own(self) -> torch.Tensor:
        await self._started.wait()
        return self._vector

    async def prepare(self) -> Callable[[], Awaitable[None]]:
        """Make ready for a round; returns what runs it."""
        self._node.transport.attach(self._driver)
        early = asyncio.create_task(self._step()) if self._begins_early else None
        await asyncio.sleep(0)

        async def run() -> None:
            self._started.set()
            await (early or self._step())
            self._started.clear()

        return run

    async def _step(self) -> None:
        from btard.hashing import digest
        from btard.round.actions import Finished

        outcome = await self._driver.run_step(self._roster, digest(b"state"))
        if not isinstance(outcome, Finished) or outcome.attempt:
            raise RuntimeError(f"the round did not succeed at once: {outcome}")
        self._roster = outcome.roster


async def run_peer(
    validators: float, index: int, peers: int, values: int, rounds: int, pipe: Connection, barrier: Barrier
) -> None:
    """Be one peer: exchange addresses through the parent, take turns at the kinds, report times and processor time."""
    import torch

    from benchmarks.unchecked import UncheckedSession
    from btard.identity import IdentityKey
    from btard.round.session import Session
    from btard.transport.base import PeerAddress
    from btard.transport.libp2p import Libp2pNode
    from btard.transport.libp2p.discover import split_maddr

    torch.set_num_threads(1)
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
            members, vector = [peer for peer, _ in addresses], vector_of(values, index)
            protocol = partial(Protocol, node=node, key=key, peers=members, vector=vector, worker=worker)
            kinds = (
                Bare(index, node, members, vector),
                protocol(UncheckedSession, validators=0.0, begins_early=True),
                protocol(Session, validators=validators, begins_early=False),
            )
            pids = os.getpid(), node.daemon_pid
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
        finally:
            await node.close()
            worker.shutdown()


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
