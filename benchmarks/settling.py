"""What a failed attempt costs: bytes of messages, and time on the virtual clock, of swarms in one process.

    python -m benchmarks.settling --peers 8 16 32 64

In each swarm one member accuses another of what nobody can judge (QUARREL); it loses its place, and the step is done in
its second attempt. Printed are the bytes of messages that an honest peer sends, in that step and in one that nobody
disturbs, and how many times as many the failed attempt alone took. Rows and aggregates are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from btard.lab.settings import SimulateSettings
from btard.lab.simulation import Simulation


def sent(peers: int, attack: str) -> tuple[float, float]:
    """Return the bytes of messages that an honest peer sends in one step, and how long that takes in seconds."""
    settings = SimulateSettings(
        peers=peers, byzantine=1, attack=[attack], steps=1, task="none", dimension=256, validators=0.0
    )
    simulation = Simulation(settings).run()
    return simulation.traffic.control_sent / len(simulation.honest), simulation.network.now


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, nargs="+", default=[8, 16, 32, 64])
    chosen = parser.parse_args(arguments)
    print("| peers | undisturbed | with a failed attempt | the failed attempt, times an undisturbed step | seconds |")
    print("|---|---|---|---|---|")
    for peers in chosen.peers:
        calm, before = sent(peers, "NONE")
        failed, after = sent(peers, "QUARREL")
        ratio = (failed - calm) / calm
        print(f"| {peers} | {calm:,.0f} | {failed:,.0f} | {ratio:.1f} | {before:.2f} to {after:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
