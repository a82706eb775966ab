"""A step of the whole BTARD protocol among simulated peers, against the same step with plain butterfly CenteredClip.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.whole_protocol

16 peers train the digits net, all honest; both runs compute their gradients one by one by the same engine. They take
turns, so that a busy machine hits both alike; processor times of one thread mean something even there. Signatures and
hashes are the true ones.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from btard.lab.training import Experiment, ExperimentSettings
from btard.lab.training.choices import Batching, MomentumAt, Topology


def training(topology: Topology, peers: int, batch_size: int, validators: float) -> Experiment:
    """Return the run of one topology."""
    return Experiment(
        ExperimentSettings(
            topology=topology,
            task="digits",
            workers=peers,
            batch_size=batch_size,
            rule="centered_clip:tau=1",
            momentum_at=MomentumAt.WORKER,
            momentum=0.9,
            dampening=0.9,
            learning_rate=0.05,
            learning_rate_decay=0,
            validators=validators,
            steps=10**6,
            evaluate_every=0,
            batched=Batching.OFF,
            study=False,
        )
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=16)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--validators", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (arguments.peers, arguments.batch_size, arguments.validators)
    runs = {topology: training(topology, *sizes) for topology in (Topology.BUTTERFLY, Topology.BTARD)}
    for run in runs.values():
        for _ in range(3):
            run.training.advance()
    taken: dict[Topology, list[float]] = {topology: [] for topology in runs}
    for _ in range(arguments.steps):
        for topology, run in runs.items():
            before = time.process_time()
            run.training.advance()
            taken[topology].append(1e3 * (time.process_time() - before))
    d = len(runs[Topology.BTARD].training.problem.parameters)
    print(f"{sizes[0]} peers, {d:,} weights, batches of {sizes[1]}, {sizes[2]:g} validators\n")
    print("| a step | median ms of processor | least | ratio of medians |\n|---|---:|---:|---:|")
    plain = statistics.median(taken[Topology.BUTTERFLY])
    for topology, times in taken.items():
        median = statistics.median(times)
        print(f"| {topology.value} | {median:.1f} | {min(times):.1f} | {median / plain:.1f} |")


if __name__ == "__main__":
    main()
