"""How fast codes are made of activations and back, how small they are, and how far they are off.

    .venv/bin/python -m benchmarks.codecs --threads 2

Each thread works on a micro-batch of its own, as a stage that encodes one while it decodes another; torch computes
with one thread in each. GB/s are of float32 (input of encoding, output of decoding), all threads together: once by the
clock, the best of the rounds, and once by the processor time of the threads, which is what an idle machine would give.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from btard.pipeline.codecs.quantiser import Quantiser

SHAPE = (1, 1024, 1600)
"""A micro-batch of GPT2-XL."""


def measure(work: Callable[[int], object], threads: int, rounds: int) -> tuple[float, float]:
    """Return bytes a second by the clock, and by processor time."""
    size = 4 * torch.Size(SHAPE).numel()

    def timed(number: int) -> float:
        began = time.thread_time()
        work(number)
        return time.thread_time() - began

    wall, busy = float("inf"), float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            began = time.perf_counter()
            spent = list(pool.map(timed, range(threads)))
            wall, busy = min(wall, time.perf_counter() - began), min(busy, *spent)
    return threads * size / wall, threads * size / busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 4, 8])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batches = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(n)) for n in range(arguments.threads)]
    print(f"{arguments.threads} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, shape {SHAPE}")
    print(
        f"{'bits':>4} {'ratio':>6} {'error':>7}  GB/s by the clock / by processor time: nearest, stochastic, decoding"
    )
    for bits in arguments.bits:
        quantiser = Quantiser(bits)
        coded = [quantiser.encode(batch) for batch in batches]
        error = float((quantiser.decode(coded[0], SHAPE) - batches[0]).norm() / batches[0].norm())
        works: list[Callable[[int], object]] = [
            lambda n, q=quantiser: q.encode(batches[n]),  # type: ignore[misc]
            lambda n, q=quantiser: q.encode(batches[n], [n]),  # type: ignore[misc]
            lambda n, q=quantiser, c=coded: q.decode(c[n], SHAPE),  # type: ignore[misc]
        ]
        found = [measure(work, arguments.threads, arguments.rounds) for work in works]
        speeds = "  ".join(f"{wall / 1e9:6.2f} /{busy / 1e9:6.2f}" for wall, busy in found)
        print(f"{bits:>4} {4 * batches[0].numel() / len(coded[0]):>6.2f} {error:>7.4f}  {speeds}")


if __name__ == "__main__":
    main()
