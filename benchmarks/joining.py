"""How long a newcomer takes to hold the training state, and how much memory: python -m benchmarks.joining

Sources serve one state over loopback, each from a process with its own p2pd; the newcomer is another process, which
fetches the state from all of them and loads it. With --uplink each source answers as slowly as a line of so many MB/s
would let it. Memory is what the newcomer's process has beyond what it had with its own state before: the most that was
its own (`RssAnon`), and with the pages of the file that it reads (`VmRSS`), which the system takes back when it needs
them.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from btard.hashing import Payload
from btard.identity import PeerId
from btard.outline import Outlined
from btard.swarm.questions import Question, Want, is_large
from btard.swarm.transfer.download import download_state
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState

PATIENCE_SECONDS = 600.0
_STATE = Question(want=Want.STATE, step=1)
_MEGA = 1e6


@dataclass(frozen=True)
class Joined:
    """What it took a newcomer: seconds until the state was loaded, and bytes of memory beyond what it had before."""

    seconds: float
    own: int
    mapped: int


async def serve(index: int, pipe: Connection, state: Outlined, uplink: float | None) -> None:
    """Be a source until the parent says that it is over."""
    from benchmarks.loopback import loopback_peer

    async def answer(peer: PeerId, request: bytes) -> Payload | None:
        question = Question.decode(request)
        if question.want is Want.STATE:
            return state.outline.encode()
        chunk = state.chunk(question.chunk)
        if uplink is not None and chunk is not None:
            await asyncio.sleep(len(chunk) / (uplink * _MEGA))
        return chunk

    async with loopback_peer(index, pipe) as me:
        me.node.transport.serve_with(answer, is_large)
        me.node.transport.is_member = lambda peer: True
        pipe.send(state.outline.digest)
        await asyncio.to_thread(pipe.recv)


async def join(index: int, pipe: Connection, task: tuple[str, str], folder: Path) -> None:
    """Be the newcomer, and tell the parent what it took."""
    from benchmarks.loopback import loopback_peer

    state = TrainingState(load_task(*task), 2)
    state.apply(torch.ones(state.dimension))

    async def load(data: Payload) -> bytes:
        def take_over() -> bytes:
            state.load_state_bytes(data)
            return state.digest()

        return await asyncio.to_thread(take_over)

    async with loopback_peer(index, pipe) as me:
        pipe.send(None)
        expected: bytes = await asyncio.to_thread(pipe.recv)
        sources = [peer for peer in me.peers if peer != me.key.peer_id]
        began = time.perf_counter()
        with _watched() as memory:
            source = await download_state(
                me.node.transport,
                sources,
                _STATE,
                load,
                expected,
                arriving=folder / "arriving.state",
                limit=state.most_state_bytes,
                timeout_seconds=PATIENCE_SECONDS,
            )
        assert source is not None
        pipe.send(Joined(time.perf_counter() - began, *memory))


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Inside, memory is looked at every few milliseconds; afterwards the list holds how far both kinds have risen."""
    before, most, over = _memory(), list(_memory()), threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            most[:] = map(max, most, _memory())

    watching, risen = threading.Thread(target=watch), list[int]()
    watching.start()
    try:
        yield risen
    finally:
        over.set()
        watching.join()
        risen[:] = [high - low for high, low in zip(most, before, strict=True)]


def _memory() -> tuple[int, int]:
    """Return the bytes of this process that are its own, and those with mapped files."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    fields = {words[0]: words[1] for words in lines if len(words) > 1}
    return 1024 * int(fields["RssAnon:"]), 1024 * int(fields["VmRSS:"])


def _run(role: str, index: int, pipe: Connection, folder: Path, task: tuple[str, str], uplink: float | None) -> None:
    torch.set_num_threads(1)
    if role == "newcomer":
        asyncio.run(join(index, pipe, task, folder))
    else:
        asyncio.run(serve(index, pipe, Outlined.of((folder / "state").read_bytes()), uplink))


def measure(folder: Path, task: tuple[str, str], sources: int, uplink: float | None) -> Joined:
    """Return what it takes with so many sources."""
    context = mp.get_context("spawn")
    pipes, processes = [], []
    for index, role in enumerate(["newcomer"] + ["source"] * sources):
        mine, theirs = context.Pipe()
        process = context.Process(target=_run, args=(role, index, theirs, folder, task, uplink), daemon=True)
        process.start()
        pipes.append(mine)
        processes.append(process)
    try:
        maddrs = [pipe.recv() for pipe in pipes]
        for pipe in pipes:
            pipe.send(maddrs)
        digests = [pipe.recv() for pipe in pipes]
        pipes[0].send(digests[1])
        joined: Joined = pipes[0].recv()
        for pipe in pipes[1:]:
            pipe.send(None)
    finally:
        for process in processes:
            process.join(30)
            process.kill()
    return joined


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="albert")
    parser.add_argument("--size", default="large")
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--uplink", type=float, default=None, help="MB/s of each source")
    words = parser.parse_args()
    task = words.task, words.size
    state = TrainingState(load_task(*task), 1)
    state.apply(torch.ones(state.dimension))
    with tempfile.TemporaryDirectory() as folder:
        size = (Path(folder) / "state").write_bytes(state.state_bytes())
        del state
        print(f"{words.task} {words.size}: a state of {size / _MEGA:.0f} MB")
        print("| sources | seconds | MB of its own | MB with pages of the file |\n|---|---|---|---|")
        for sources in words.sources:
            made = measure(Path(folder), task, sources, words.uplink)
            print(f"| {sources} | {made.seconds:.2f} | {made.own / _MEGA:.0f} | {made.mapped / _MEGA:.0f} |")


if __name__ == "__main__":
    main()
