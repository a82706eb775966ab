"""What a failed attempt costs: bytes of messages, and time on the virtual clock, of swarms in one process.

    python -m benchmarks.settling --peers 8 16 32 64
    python -m benchmarks.settling --peers 8 16 --liars 2 3

In each swarm one member accuses another of what nobody can judge (QUARREL); it loses its place, and the step is done in
a later attempt. More liars show what they say in an agreement to one member alone, at several moments, of which the
dearest counts. Printed are the bytes of messages that an honest peer sends, in that step and in one that nobody
disturbs, how many times as many each failed attempt alone took, and the closed form of docs/protocol.md. Rows and
aggregates are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from btard.behaviour import Behaviour, Outgoing
from btard.identity import Envelope, MessageKind, PeerId
from btard.lab.simulation.behaviours import attacker
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation

_BOUND_SECONDS = 2.0
"""The bound on delay of a simulation whose messages are quick."""

_SPOKEN = (MessageKind.REPORT, MessageKind.VOTE)
_MOMENTS = (0.0, 1.0, 1.95, 3.95)
"""When a confidant hears, in bounds on delay: at once, in the middle, and at the ends of the first two windows."""


class Confides(Behaviour):
    """Says in the first attempt's agreements what it has to say to one member only, and passes nothing on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._confidant: PeerId | None = None

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.attempt or envelope.kind not in (*_SPOKEN, MessageKind.RELAY):
            return None
        self._confidant = self._confidant or receiver
        told = receiver == self._confidant and envelope.kind in _SPOKEN
        return [Outgoing(envelope.encode(), self._seconds)] if told else []


def _liar(bounds: float, settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
    return Confides(_BOUND_SECONDS * bounds) if turn else attacker(settings, number, turn, meeting)


def sent(peers: int, attack: str, liars: int = 1, bounds: float = 0.0) -> tuple[float, float, int]:
    """Return the bytes of messages that an honest peer sends in one step, how long that takes in seconds, and how many
    attempts fail."""
    settings = SimulateSettings(
        peers=peers, byzantine=liars, attack=[attack], steps=1, task="none", dimension=256, validators=0.0
    )
    simulation = Simulation(settings, make_attacker=partial(_liar, bounds)).run()
    failed = len(simulation.chronicle.voided)
    return simulation.traffic.control_sent / len(simulation.honest), simulation.network.now, failed


def most(n: int, liars: int, undisturbed: float) -> float:
    """Return the most bytes of messages that an honest peer of n sends in a failed attempt, by docs/protocol.md."""
    f = (n - 1) // 2
    m, q = n // 2 + 1, (n + f) // 2 + 1
    certain = max(q, n - m + f + 1)
    total = undisturbed
    for statement in (664 + 145 * n, 168 + 127 * liars):
        total += (n - 1) * (statement + 244 + (211 + 36 * n) + (390 + 70 * m) + (250 + 36 * n + 70 * certain))
        passed_on = 2 * (n - 1) * (statement + 260 + 136 * (f + 1))
        total += liars * (passed_on + n * statement + 260 + (f + 1) * (100 + 36 * n))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a row for each size and number of liars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--liars", type=int, nargs="+", default=[1])
    chosen = parser.parse_args(arguments)
    print("| peers | liars | undisturbed | with failed attempts | times undisturbed | at most | seconds |")
    print("|---|---|---|---|---|---|---|")
    for peers in chosen.peers:
        calm, before, _ = sent(peers, "NONE", 1)
        for liars in chosen.liars:
            runs = [sent(peers, "QUARREL", liars, bounds) for bounds in (_MOMENTS if liars > 1 else (0.0,))]
            bytes_sent, after, failed = max(runs, key=lambda run: (run[0] - calm) / run[2])
            cost, bound = (bytes_sent - calm) / failed, most(peers, liars, calm)
            print(
                f"| {peers} | {liars} | {calm:,.0f} | {bytes_sent:,.0f} | {cost / calm:.1f} | {bound / calm:.1f} "
                f"| {before:.2f} to {after:.2f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
