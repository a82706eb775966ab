"""Time what verification adds to a peer's step: measuring its own vector, and the column of the part it owns.

    python -m benchmarks.verification

The random numbers are made anew in each call, as in a step. Times are medians of repetitions on one thread; the last
case is a whole simulated swarm in one process, whose peers share one direction.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from btard.vectors.partition import Partition
from btard.verification.projection import Projection
from btard.vocabulary import WireType

SIZES = ((8, 18_000_000), (16, 1_000_000))
SIMULATED = (256, 4096)


def milliseconds(call: Callable[[], object], repetitions: int) -> float:
    """Return the median wall time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def peer(count: int, dimension: int, repetitions: int) -> tuple[float, float, float]:
    """Return the milliseconds of vector(), rows() with `count` rows, and aggregate_norms() of one peer."""
    partition = Partition(dimension, count, WireType.FLOAT32)
    bounds = [partition.bounds(part) for part in range(count)]
    vector, aggregate = torch.randn(dimension), torch.randn(dimension)
    parts, aggregates = ([flat[start:stop] for start, stop in bounds] for flat in (vector, aggregate))
    rows = [torch.randn(len(parts[1])) for _ in range(count)]
    return (
        milliseconds(lambda: Projection(b"r", partition).vector(parts, aggregates), repetitions),
        milliseconds(lambda: Projection(b"r", partition).rows(1, rows, aggregates[1]), repetitions),
        milliseconds(lambda: Projection(b"r", partition).aggregate_norms(aggregates), repetitions),
    )


def swarm(count: int, dimension: int) -> float:
    """Return the milliseconds of all simulated peers together: each its vector, its column and all norms of z."""
    partition = Partition(dimension, count, WireType.FLOAT32)
    parts = [torch.randn(dimension // count) for _ in range(count)]
    aggregates = [torch.randn(dimension // count) for _ in range(count)]

    def step() -> None:
        projection = Projection(b"r", partition)
        for own in range(count):
            projection.vector(parts, aggregates)
            projection.rows(own, parts, aggregates[own])
            for part in range(count):
                projection.norm(part)

    return milliseconds(step, 3)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="What measuring along the random direction costs")
    parser.add_argument("--repetitions", type=int, default=9, help="calls of which the median is printed (default: 9)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| one peer | vector() ms | rows() ms | aggregate_norms() ms |\n|---|---:|---:|---:|")
    for count, dimension in SIZES:
        vector, rows, norms = peer(count, dimension, arguments.repetitions)
        print(f"| {count} parts, d = {dimension:,} | {vector:.1f} | {rows:.1f} | {norms:.1f} |", flush=True)
    count, dimension = SIMULATED
    print(f"\n{count} simulated peers, d = {dimension:,}: {swarm(count, dimension):.0f} ms for all of them")


if __name__ == "__main__":
    main()
