"""Hours of coming and going among many honest peers on the virtual clock, with the invariants checked at every step.

    python -m btard.lab.stress.churn --peers 64 --hours 2 --seed 1

Members die or say goodbye at random moments, and for each of them a newcomer knocks. A peer computes for 100 s and
messages take up to 5 s, so that hours cost minutes of processor time. One that has died or left is no honest member any
more, which is what the invariants then say of it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from btard.behaviour import LeaveReason
from btard.lab.simulation.invariants import Violation, watch
from btard.lab.simulation.peer import LabPeer
from btard.lab.simulation.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation

_COMPUTE_SECONDS = 100.0
_BETWEEN_SECONDS = (60.0, 600.0)
_VIOLATED = 3


@dataclass(frozen=True)
class Churned:
    """What has come of it.

    Attributes:
        steps: that the swarm has finished.
        admitted: newcomers that have come in.
        checks: how often a peer's finished step was compared with the others'.
    """

    steps: int
    died: int
    left: int
    admitted: int
    checks: int

    def __str__(self) -> str:
        return (
            f"{self.steps} steps, {self.died} died, {self.left} said goodbye, {self.admitted} came in, "
            f"{self.checks} steps of peers compared"
        )


class _Churn:
    """Lets members go, one after the other, at random moments."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation, self._chance = simulation, random.Random(seed)
        self.died = self.left = 0
        self._plan()

    def _plan(self) -> None:
        network = self._simulation.network
        network.at(network.now + self._chance.uniform(*_BETWEEN_SECONDS), self._strike)

    def _strike(self) -> None:
        simulation, chronicle = self._simulation, self._simulation.chronicle
        voters = () if chronicle.roster is None else sorted(chronicle.roster.voters)
        alive = [chronicle.peers[peer] for peer in voters if not chronicle.peers[peer].crashed]
        if alive:
            self._lose(self._chance.choice(alive))
            simulation.admissions.newcomer()
            simulation.peers[-1].compute_seconds = _COMPUTE_SECONDS
        self._plan()

    def _lose(self, peer: LabPeer) -> None:
        says_goodbye = self._chance.random() < 0.5
        peer.honest, self._simulation.chronicle.all_out = False, None
        if says_goodbye:
            self.left += 1
            peer.leave(LeaveReason.SHUTDOWN)
        else:
            self.died += 1
            peer.crash()
        peer.running = False


def churn(peers: int, seconds: float, seed: int) -> Churned:
    """Let peers come and go for so many seconds of the virtual clock; raises Violation."""
    simulation = Simulation(
        SimulateSettings(
            peers=peers,
            byzantine=0,
            attack=["SIGN_FLIPPING"],
            cut=[],
            seed=seed,
            steps=10**6,
            task=WorkloadName.NONE,
            dimension=max(64, peers),
            delay="0.05-5",
            rejoin=Rejoin.ALL,
            validators=1.0,
            probation=2,
        )
    )
    for peer in simulation.peers:
        peer.compute_seconds = _COMPUTE_SECONDS
    invariants, comings = watch(simulation), _Churn(simulation, seed)
    simulation.run(until=lambda: simulation.network.now >= seconds)
    chronicle = simulation.chronicle
    if simulation.network.now < seconds:
        raise Violation("I7", f"the run ends after {simulation.network.now:.0f} s: {chronicle.stops[-3:]}", simulation)
    admitted = simulation.admissions.admitted
    return Churned(chronicle.finished + 1, comings.died, comings.left, admitted, invariants.checks)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and tell what has come of it; 3 where an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m btard.lab.stress.churn", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peers", type=int, default=64, help="that begin (default: 64)")
    parser.add_argument("--hours", type=float, default=2.0, help="of the virtual clock (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    given = parser.parse_args(argv)
    started = time.process_time()
    try:
        found = churn(given.peers, 3600 * given.hours, given.seed)
    except Violation as violation:
        print(violation)
        return _VIOLATED
    print(f"{found}; {time.process_time() - started:.0f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
