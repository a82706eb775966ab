"""What the dashboard costs the coordinator: processor time with a browser that listens, with none, without the page.

python -m benchmarks.dashboard --peers 64 --seconds 20

One process does what a coordinator does with the metrics of its peers: every two seconds it reads the signed records of
all, checks and files them. Another process is the browser, whose time is not counted. The three are measured in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from btard.coordinator.dashboard.server import load_assets
from btard.coordinator.dashboard.service import Dashboard
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.metrics import MetricsBoard
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.roster import Roster, first_randomness
from btard.swarm.events.coordinator import CoordinatorEvent, CoordinatorStarted, FirstRoster
from btard.swarm.events.log import EventLog
from btard.swarm.manifest import RunManifest
from btard.swarm.records.details import MAX_TOLD, Examination, Found, PeerDetails
from btard.swarm.records.record import LocalMetrics, Metrics
from btard.transport.stages import Stage

LOOK_SECONDS = 2.0
"""Seconds between two looks of the coordinator, its default."""

KINDS = ("no page", "nobody looks", "one browser")
LIMIT = 2.0
"""Percent of a core that the page may cost at 64 peers."""


def run_manifest(peers: int) -> RunManifest:
    """Return a run that is long enough."""
    fields = {
        "nonce": "11" * 16,
        "experiment": "benchmark",
        "task": "digits",
        "size": "tiny",
        "data": {},
        "fingerprint": "ab" * 32,
        "dimension": 10,
        "batch_size": 16,
        "learning_rate": 0.1,
        "warmup_steps": 0,
        "total_steps": 100_000,
        "max_grad_norm": 1.0,
        "precision": "none",
        "rule": "centered_clip",
        "tau": 1.0,
        "wire": "float32",
        "peers": peers,
        "deadlines": {},
        "seed": 7,
    }
    return RunManifest.of(fields)


def record(key: IdentityKey, run: bytes, step: int, target: PeerId) -> Envelope:
    """Return the signed record of a peer that has finished `step`."""
    number = step + key.peer_id[-1] / 256
    steps = [
        LocalMetrics(step=s, samples_per_second=number, samples_accumulated=16 * s, loss=9 / (1 + number), mini_steps=1)
        for s in range(max(0, step - 8), step + 1)
    ]
    details = PeerDetails(
        version="0.1.0",
        numerics="torch 2.9.0+cpu, Some Processor of 64 cores, x86_64 AVX512, float32",
        bytes_sent=1_000_000 * step,
        bytes_received=1_000_000 * step,
        step=step,
        stages=[round(number % 1 + 0.01 * i, 4) for i in range(len(Stage))],
        examined=[
            Examination(step=s, target=str(target), found=Found.SAME)
            for s in range(max(0, step - 16 * MAX_TOLD), step + 1, 16)
        ][-MAX_TOLD:],
        excluded=[],
    )
    return Metrics(steps=steps, details=details).sign(key, run, MessageKind.METRICS)


async def coordinate(kind: str, peers: int, seconds: float, pace: float, path: Path) -> float:
    """Return the percent of a core that the coordinator's work takes, with or without the page."""
    keys = [IdentityKey.from_seed(number.to_bytes(32, "big")) for number in range(peers)]
    ids = [key.peer_id for key in keys]
    manifest = run_manifest(peers)
    directory = RunDirectory(path)
    directory.write_text(directory.manifest_file, manifest.model_dump_json())
    looks = round(seconds / LOOK_SECONDS)
    past = 1000
    steps = [past + round(LOOK_SECONDS / pace * number) for number in range(looks)]
    records = [
        {key.peer_id: record(key, manifest.run, step, ids[number - 1]) for number, key in enumerate(keys)}
        for step in steps
    ]
    with contextlib.ExitStack() as stack, EventLog[CoordinatorEvent](directory.events) as log:
        log.write(
            CoordinatorStarted(
                run_id=manifest.run_id, rules="ab" * 32, experiment="", peer=str(ids[0]), addresses=(), resumed=False
            )
        )
        log.write(FirstRoster(step=0, members=tuple(map(str, ids))))
        directory.steps.write_text("".join(f'{{"step":{s},"loss":1.5,"alive":{peers}}}\n' for s in range(past - 8)))
        board = MetricsBoard(manifest, directory, patience_seconds=10.0, details=DetailsBoard(directory, log))
        page = contextlib.AsyncExitStack()
        if kind != KINDS[0]:
            dashboard = Dashboard("127.0.0.1:0", None)
            await page.enter_async_context(dashboard.serving(directory.path))
            if kind == KINDS[2]:
                stack.enter_context(browser(dashboard.address.port))
        await asyncio.sleep(2.0)
        began, spent = time.monotonic(), time.process_time()
        for number, (step, envelopes) in enumerate(zip(steps, records, strict=True)):
            board.take(envelopes, Roster(step + 1, tuple(sorted(ids)), frozenset(), first_randomness(7, step)))
            await asyncio.sleep(max(0.0, began + LOOK_SECONDS * (number + 1) - time.monotonic()))
        spent, lasted = time.process_time() - spent, time.monotonic() - began
        await page.aclose()
        board.close()
    return 100 * spent / lasted


@contextlib.contextmanager
def browser(port: int) -> Iterator[None]:
    """Let another process listen to the stream."""
    process = multiprocessing.get_context("spawn").Process(target=listen, args=(port,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def listen(port: int) -> None:
    """Read the stream of events until it ends."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while stream.recv(1 << 16):
            pass


async def first_bytes(path: Path) -> tuple[int, int]:
    """Return the bytes of the page's files, and of the first data that it is told about a run's directory."""
    dashboard = Dashboard("127.0.0.1:0", None)
    async with dashboard.serving(path, whole=True):
        reader, writer = await asyncio.open_connection("127.0.0.1", dashboard.address.port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\n\n")
        data = await reader.readuntil(b"\n\n")
        writer.close()
    return sum(len(asset.body) for asset in load_assets().values()), len(data)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds of a step")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.turns):
            for kind in KINDS:
                path = Path(folder) / f"{turn}-{kind.replace(' ', '-')}"
                work = coordinate(kind, arguments.peers, arguments.seconds, arguments.pace, path)
                found[kind].append(asyncio.run(work))
        files, data = asyncio.run(first_bytes(path))
    middle = {kind: statistics.median(values) for kind, values in found.items()}
    print(
        f"{arguments.peers} peers, a step each {arguments.pace:g} s, {arguments.turns} turns of {arguments.seconds:g} s"
    )
    for kind, values in found.items():
        print(f"{kind:12}  {middle[kind]:6.2f} % of a core  ({min(values):.2f} to {max(values):.2f})")
    cost = middle[KINDS[2]] - middle[KINDS[0]]
    print(
        f"one browser costs {cost:.2f} % of a core, ratio {middle[KINDS[2]] / middle[KINDS[0]]:.2f}; limit {LIMIT:g} %"
    )
    print(f"the page: {files} bytes, the first data {data} bytes, together {files + data}")


if __name__ == "__main__":
    main()
