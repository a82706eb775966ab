"""What it costs a peer to hear one message of each kind: honest ones, and the worst that a liar can send.

    python -m benchmarks.messages --peers 64

For every message that is refused in the end, the limits are 50 ms of processor time a MiB beside the time that a few
signatures take, and 8 times its size in memory beside 64 KiB. Times are the least of some repetitions on one thread,
caches emptied before each; memory is the peak of what Python allocates. The exit code is 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

from btard.identity import Envelope, envelope
from btard.lab.stress.hostile import Specimen, Victim, honest, hostile
from btard.round import session
from btard.round.messages import reading

MOST_MS = 50.0
"""Processor time for one MiB, in milliseconds."""

SIGNATURES = 8
"""Beside that: what one member may have signed and another attached, more than the reports that are measured hold."""

MOST_MEMORY = 8.0
"""Times the size of a message."""

FREE_MEMORY = 64 << 10
"""Bytes that a short message may take beside that."""


@dataclass(frozen=True)
class Cost:
    """What a message has taken: milliseconds of processor time, and bytes of memory at the most."""

    milliseconds: float
    memory: int


def forget() -> None:
    """Empty the caches that make the same bytes cheaper the second time."""
    envelope._decode_cached.cache_clear()
    reading.remembered.cache_clear()
    session._parse_header.cache_clear()


def cost(listener: Victim, data: bytes, repetitions: int) -> Cost:
    """Measure one message."""
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(repetitions):
            listener.restart()
            forget()
            start = time.process_time_ns()
            listener.hear(data)
            best = min(best, (time.process_time_ns() - start) / 1e6)
    finally:
        gc.enable()
    listener.restart()
    forget()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    listener.hear(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Cost(best, peak - before)


def signature_ms(listener: Victim, repetitions: int) -> float:
    """Return the milliseconds of processor time that one short signature takes to verify."""
    data = next(said.data for said in honest(listener))
    start = time.process_time_ns()
    for _ in range(20 * repetitions):
        Envelope.parse(data).verify()
    return (time.process_time_ns() - start) / 1e6 / (20 * repetitions)


def broken(said: Specimen, found: Cost, signature: float) -> bool:
    """Whether a message that is refused takes more than it may: a report may have shown a few true signatures first."""
    size = len(said.data)
    allowed = MOST_MS * size / (1 << 20) + SIGNATURES * signature
    return not said.honest and (found.milliseconds > allowed or found.memory > MOST_MEMORY * size + FREE_MEMORY)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.messages", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peers", type=int, default=16, help="members of the roster (default: 16)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the fastest is printed (default: 3)")
    parser.add_argument("--all", action="store_true", help="print every message, not the worst of each kind")
    arguments = parser.parse_args(argv)
    listener = Victim(arguments.peers)
    signature = signature_ms(listener, arguments.repetitions)
    print(f"{arguments.peers} members; one signature {signature:.3f} ms")
    print(f"limits: {MOST_MS:.0f} ms a MiB and {SIGNATURES} signatures, {MOST_MEMORY:.0f} times the size and 64 KiB\n")
    print("| kind | message | bytes | ms | ms a MiB | times its size | limits |\n|---|---|---:|---:|---:|---:|---|")
    rows: dict[tuple[str, bool], tuple[float, str]] = {}
    failed = False
    for said in (*honest(listener), *hostile(listener)):
        found = cost(listener, said.data, arguments.repetitions)
        bad = broken(said, found, signature)
        failed |= bad
        size = len(said.data)
        beyond = max(0.0, found.milliseconds - signature)
        row = (
            f"| {said.kind.name} | {said.what} | {size:,} | {found.milliseconds:.2f} | {beyond * (1 << 20) / size:.1f} "
            f"| {found.memory / size:.1f} | {'BROKEN' if bad else 'kept' if not said.honest else ''} |"
        )
        key = (said.kind.name if not (arguments.all or bad) else row, said.honest)
        if found.milliseconds > rows.get(key, (-1.0, ""))[0]:
            rows[key] = (found.milliseconds, row)
    print("\n".join(row for _, row in rows.values()))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
