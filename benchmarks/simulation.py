"""Time simulated rounds, and count what peers send beside a plain butterfly all-reduce.

    python -m benchmarks.simulation             # seconds a round, short runs a second, bytes a peer and step
    python -m benchmarks.simulation --only bytes --largest 1024     # five minutes and 5 GB

Everything runs in one process on one core. Bytes are counted in the simulated network up to `--largest` peers, 64 if
not given, and calculated beyond: the parts exactly, the control messages from their sizes (`calculated_control`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from btard.lab.simulation.report import butterfly_bytes
from btard.lab.simulation.settings import SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation

_HEADER = 130 + 36
"""Bytes of a part's header: envelope, and part number with digest."""

_ENVELOPE = 130


def simulate(peers: int, dimension: int, steps: int, validators: float = 1.0, seed: int = 0) -> Simulation:
    """Run an honest swarm that trains nothing."""
    settings = SimulateSettings(
        peers=peers,
        dimension=dimension,
        steps=steps,
        seed=seed,
        validators=validators,
        task=WorkloadName.NONE,
        attack=["NONE"],
        cut=[],
        check=False,
    )
    return Simulation(settings).run()


def rounds() -> None:
    """Print seconds a round for swarms of several sizes."""
    print("| peers | numbers | steps | seconds a round | of CPU time |\n|---|---|---|---|---|")
    for peers, steps in ((16, 20), (64, 4), (256, 2)):
        before = time.process_time()
        simulation = simulate(peers, 4096, steps)
        cpu = time.process_time() - before
        print(f"| {peers} | 4096 | {steps} | {simulation.wall_seconds / steps:.2f} | {cpu / steps:.2f} |", flush=True)


def short_runs(count: int = 100) -> None:
    """Print how many short random runs are done in a second, invariants checked after every step."""
    from btard.lab.stress.chaos import attack_names, run_seeds

    started = time.perf_counter()
    tally = run_seeds(range(count), attack_names())
    print(f"\nshort random runs: {count / (time.perf_counter() - started):.1f} a second in one process ({tally})")
    simulation = simulate(16, 64, 100)
    print(f"16 peers, 64 numbers: {100 / simulation.wall_seconds:.1f} steps a second")


def calculated_control(peers: int) -> float:
    """Return the bytes of control messages that a peer sends in a step without disputes and without validators.

    To each of n - 1 others go a commitment (34 n bytes of hashes, 110 of digests and share), a revealed share (70), the
    scalars (18 n bytes of numbers, 40 more) and a digest (140), each in an envelope; and headers of n - 1 parts and
    n - 1 aggregates.
    """
    messages = (34 * peers + 110) + 70 + (18 * peers + 40) + 140 + 4 * _ENVELOPE
    return (peers - 1) * (messages + 2 * _HEADER)


def traffic(largest: int, dimension: int = 1 << 15) -> None:
    """Print bytes a peer and step, counted up to `largest` peers."""
    print(f"\n{dimension} float32 numbers, no validators; bytes of a peer in a step")
    print(
        "| peers | parts sent | plain butterfly | control sent | calculated | control received "
        "| control sent, of parts of 1e8 numbers |"
    )
    print("|---|---|---|---|---|---|---|")
    for peers in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
        plain = butterfly_bytes(dimension, peers)
        calculated = calculated_control(peers)
        parts, control, received = "-", "-", "-"
        if peers <= largest:
            simulation = simulate(peers, dimension, 2 if peers <= 64 else 1, validators=0.0)
            steps = sum(peer.steps_done for peer in simulation.honest)
            measured = simulation.traffic
            assert abs(measured.parts_sent / steps / plain - 1) < 0.01, "the parts are not those of a butterfly"
            assert measured.parts_sent == measured.parts_received
            counts = (measured.parts_sent, measured.control_sent, measured.control_received)
            parts, control, received = (f"{count / steps:,.0f}" for count in counts)
        share = calculated / butterfly_bytes(10**8, peers)
        row = (str(peers), parts, f"{plain:,.0f}", control, f"{calculated:,.0f}", received, f"{share:.2%}")
        print(f"| {' | '.join(row)} |", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=("rounds", "runs", "bytes"), help="measure this alone")
    parser.add_argument("--largest", type=int, default=64, help="peers up to which bytes are counted (default: 64)")
    arguments = parser.parse_args(argv)
    for name, measure in (("rounds", rounds), ("runs", short_runs), ("bytes", partial(traffic, arguments.largest))):
        if arguments.only in (None, name):
            measure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
