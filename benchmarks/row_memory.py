"""Memory of a process that trains many workers of a large net, with their vectors in memory and in a file.

    .venv/bin/python -m benchmarks.row_memory --workers 32
    .venv/bin/python -m benchmarks.row_memory --workers 32 --rows-in /var/tmp

Of a process's memory the kernel can only free what belongs to files, so the peak of the rest (RssAnon) is what has to
be there. Momentum is kept at the workers, so all vectors stay from step to step.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import torch

from btard.lab.training import Experiment, ExperimentSettings


def resident() -> dict[str, int]:
    """Return the kinds of memory that this process has, in bytes."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[0] in ("RssAnon:", "RssFile:")}


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--task", default="images:data=digits,model=resnet18")
    parser.add_argument("--rule", default="krum")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batched", default="off", choices=("on", "off"))
    parser.add_argument("--rows-in", type=Path)
    arguments = parser.parse_args()
    settings = ExperimentSettings.model_validate(
        vars(arguments)
        | {"momentum_at": "worker", "attackers": 3, "attack": "little:factor=1.5", "evaluate_every": 0, "study": False}
    )
    peaks: dict[str, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for kind, size in resident().items():
                peaks[kind] = max(size, peaks.get(kind, 0))

    watcher = threading.Thread(target=watch)
    before = resident()["RssAnon"]
    watcher.start()
    try:
        experiment, started = Experiment(settings), time.perf_counter()
        experiment.run()
    finally:
        ended.set()
        watcher.join()
    taken, d = time.perf_counter() - started, len(experiment.parameters)
    rows = 4 * d * (settings.workers - settings.attackers)
    print(
        f"{settings.workers} workers, {d:,} weights, vectors of {rows / 2**20:,.0f} MiB, {arguments.steps} steps in "
        f"{taken:.0f} s with {torch.get_num_threads()} threads: peak {peaks['RssAnon'] / 2**20:,.0f} MiB "
        f"({before / 2**20:,.0f} before), and {peaks['RssFile'] / 2**20:,.0f} MiB of files"
    )


if __name__ == "__main__":
    main()
