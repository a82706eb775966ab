"""Print which share of a core a flood costs its victim.

The victim is a process with a p2pd: a peer in the middle of a step, with a real session. One author, a member of the
roster or a stranger, sends as fast as it can, from another process. What is printed is the processor time of the
victim's Python and of its p2pd in the window after the start of the flood, by the length of that window, less what both
need without a flood.

    python -m benchmarks.flood --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.usage import PATIENCE_SECONDS, cpu_seconds

_VALUES = 8 << 20
_PIECE = 1 << 20


async def run_victim(member: bool, author: bytes, pipe: Connection) -> None:
    """Be a peer in a step that will not end, and answer when asked how much processor time it has used."""
    import torch

    from benchmarks.given import GivenVectors
    from btard.behaviour import Behaviour
    from btard.hashing import digest
    from btard.identity import IdentityKey, PeerId
    from btard.round.roster import Roster, first_randomness
    from btard.round.rules import AggregationRules, StepRules, VerificationRules
    from btard.round.session import Session
    from btard.transport.driver import SessionDriver
    from btard.transport.libp2p import Libp2pNode
    from btard.vocabulary import WireType

    aggregation = AggregationRules("centered_clip", tau=1.0, reference_peers=4)
    rules = StepRules(bytes(16), _VALUES, WireType.FLOAT32, *[600.0] * 5, aggregation, VerificationRules(validators=0))

    async def answer(sender: PeerId, request: bytes) -> bytes:
        return bytes(4096)

    with tempfile.TemporaryDirectory() as directory:
        identity = Path(directory) / "identity.key"
        key = IdentityKey.load_or_create(identity)
        node = await Libp2pNode.create(identity, startup_timeout_seconds=PATIENCE_SECONDS, serve=answer)
        flooder = PeerId(author)
        others = [IdentityKey.generate().peer_id for _ in range(2)]
        members = tuple(sorted([key.peer_id, *others, *([flooder] if member else [])]))
        session = Session(rules, key, Behaviour())

        async def never() -> torch.Tensor:
            await asyncio.Event().wait()
            return torch.zeros(_VALUES)

        executor = GivenVectors(rules, key.peer_id, ThreadPoolExecutor(1), never, lambda peer: torch.zeros(_VALUES))
        driver = SessionDriver(session, node.transport, executor, node.transport.charge)
        node.transport.is_member = session.is_member
        node.transport.attach(driver)

        step = asyncio.ensure_future(
            driver.run_step(Roster(0, members, frozenset(), first_randomness(0, 0)), digest(b"state"))
        )
        pipe.send((bytes(key.peer_id), node.maddrs))
        while await asyncio.to_thread(pipe.recv):
            pipe.send((time.process_time(), cpu_seconds(node.daemon_pid), vars(node.transport.counters)))
        step.cancel()
        await node.close()


def victim(member: bool, author: bytes, pipe: Connection) -> None:
    """Process entry of the victim."""
    import uvloop

    uvloop.run(run_victim(member, author, pipe))


class Flooder:
    """A p2pd without the protocol, and a key that signs what it likes."""

    def __init__(self, daemon: Any, key: Any, target: Any) -> None:
        self.daemon, self.key, self.target = daemon, key, target

    async def stream(self, protocol: str) -> Any:
        """Open a stream to the victim, whose answers are thrown away."""
        return await self.daemon.control.open_stream(self.target, protocol, _ignore, 10)

    def signed(self, count: int, size: int, *, step: int) -> bytes:
        """Frames of distinct messages that verify, and that nobody needs."""
        from btard.identity import Envelope, MessageKind

        frames = []
        for number in range(count):
            body = number.to_bytes(4, "big") + os.urandom(size)
            message = Envelope.sign(self.key, run=bytes(16), step=step, kind=MessageKind.VOTE, body=body).encode()
            frames.append(struct.pack(">I", len(message)) + message)
        return b"".join(frames)


def _ignore(_: Any) -> Any:
    nothing = memoryview(bytearray(1 << 16))
    while True:
        yield nothing


async def _pour(flooder: Flooder, protocol: str, blob: bytes) -> None:
    """Write the same bytes again and again, over a new stream whenever the last one was closed."""
    from btard.transport.libp2p.control import DaemonError
    from btard.transport.libp2p.pipe import StreamLost

    while True:
        try:
            pipe = await flooder.stream(protocol)
            while True:
                for start in range(0, len(blob), _PIECE):
                    await pipe.write(blob[start : start + _PIECE], PATIENCE_SECONDS)
        except (DaemonError, StreamLost):
            await asyncio.sleep(0.01)


async def _tiny(flooder: Flooder) -> None:
    await _pour(flooder, "control", (struct.pack(">I", 1) + b"\xff") * 100_000)


async def _signed(flooder: Flooder) -> None:
    await _pour(flooder, "control", flooder.signed(6000, 100, step=10**6))


async def _current(flooder: Flooder) -> None:
    await _pour(flooder, "control", flooder.signed(6000, 100, step=0))


async def _large(flooder: Flooder) -> None:
    await _pour(flooder, "control", flooder.signed(2, (4 << 20) - 4096, step=10**6))


async def _garbage(flooder: Flooder) -> None:
    await _pour(flooder, "control", b"\xff" * 4096)


async def _parts(flooder: Flooder) -> None:
    size = 16 << 20
    await _pour(flooder, "bulk", struct.pack(">IQ", 1, size) + b"h" + bytes(size))


async def _announcements(flooder: Flooder) -> None:
    await _pour(flooder, "bulk", (struct.pack(">IQ", 100, 0) + bytes(100)) * 20_000)


async def _questions(flooder: Flooder) -> None:
    from btard.transport.libp2p import FetchError
    from btard.transport.libp2p.fetch import fetch

    async def ask() -> None:
        while True:
            try:
                await fetch(
                    flooder.daemon.control,
                    flooder.target,
                    b"?",
                    limit=1 << 20,
                    timeout_seconds=PATIENCE_SECONDS,
                    open_timeout_seconds=PATIENCE_SECONDS,
                )
            except FetchError:
                await asyncio.sleep(0.001)

    await asyncio.gather(*(ask() for _ in range(8)))


async def _openings(flooder: Flooder) -> None:
    from btard.transport.libp2p.control import DaemonError

    async def open_and_close() -> None:
        while True:
            try:
                (await flooder.stream("control")).abort()
            except DaemonError:
                await asyncio.sleep(0.001)

    await asyncio.gather(*(open_and_close() for _ in range(8)))


FLOODS: dict[str, Callable[[Flooder], Awaitable[None]]] = {
    "tiny messages that are none": _tiny,
    "signed messages of another step": _signed,
    "signed votes in this step": _current,
    "messages of 4 MiB": _large,
    "bytes that are no frame": _garbage,
    "refused parts of 16 MiB": _parts,
    "announcements of parts": _announcements,
    "questions": _questions,
    "streams opened and closed": _openings,
}


@asynccontextmanager
async def _flooder(target: bytes, maddrs: tuple[str, ...], directory: Path) -> AsyncIterator[Flooder]:
    from btard.identity import IdentityKey, PeerId
    from btard.transport.libp2p import incoming
    from btard.transport.libp2p.daemon import Daemon

    names = {"control": incoming.CONTROL_PROTOCOL, "bulk": incoming.BULK_PROTOCOL}
    identity = directory / "identity.key"
    key = IdentityKey.load_or_create(identity)
    daemon = await Daemon.start(identity, host_maddrs=["/ip4/127.0.0.1/tcp/0"])
    try:
        peer = PeerId(target)
        await daemon.control.connect(peer, [maddr.split("/p2p/")[0] for maddr in maddrs], 10)
        flooder = Flooder(daemon, key, peer)
        open_stream = flooder.stream
        flooder.stream = lambda protocol: open_stream(names[protocol])  # type: ignore[method-assign]
        yield flooder
    finally:
        await daemon.stop()


async def measure(flood: Callable[[Flooder], Awaitable[None]], member: bool, seconds: float) -> dict[str, Any]:
    """Return the shares of a core that the victim's Python and p2pd needed, and what it counted."""
    from btard.identity import IdentityKey

    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        author = IdentityKey.load_or_create(Path(directory) / "identity.key").peer_id
        mine, theirs = context.Pipe()
        process = context.Process(target=victim, args=(member, bytes(author), theirs))
        process.start()
        try:
            target, maddrs = await asyncio.to_thread(_received, mine)
            async with _flooder(target, maddrs, Path(directory)) as flooder:
                idle = await _shares(mine, seconds / 4)
                running = asyncio.ensure_future(flood(flooder))
                shares = await _shares(mine, seconds)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                mine.send(False)
        finally:
            process.join(10)
            if process.is_alive():
                process.kill()
    return {
        "python": shares["python"] - idle["python"],
        "p2pd": shares["p2pd"] - idle["p2pd"],
        "counters": shares["counters"],
    }


def _received(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE_SECONDS):
        raise TimeoutError(f"the victim said nothing for {PATIENCE_SECONDS:g} s")
    return pipe.recv()


async def _shares(pipe: Connection, seconds: float) -> dict[str, Any]:
    async def used() -> tuple[float, float, dict[str, int]]:
        pipe.send(True)
        answer: tuple[float, float, dict[str, int]] = await asyncio.to_thread(_received, pipe)
        return answer

    began = time.monotonic()
    before = await used()
    await asyncio.sleep(seconds)
    after = await used()
    length = time.monotonic() - began
    return {
        "python": (after[0] - before[0]) / length,
        "p2pd": (after[1] - before[1]) / length,
        "counters": {name: count for name, count in after[2].items() if count},
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each flood (default: 10)")
    parser.add_argument("--only", nargs="+", default=[], help="words, of which a flood's name has one (default: all)")
    parser.add_argument("--author", choices=["member", "stranger"], help="who floods (default: one after the other)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    rows = []
    for name, flood in FLOODS.items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        for author in ("member", "stranger"):
            if arguments.author in (None, author):
                result = asyncio.run(measure(partial(flood), author == "member", arguments.seconds))
                rows.append({"flood": name, "author": author, **result})
                python, p2pd = result["python"], result["p2pd"]
                print(f"{name}, by a {author}: {python:.3f} of a core in Python, {p2pd:.3f} in p2pd", flush=True)
                print(f"    {result['counters']}", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
