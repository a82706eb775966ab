"""What gamblers gain: lies that are applied before they are out, in swarms in one process.

    python -m benchmarks.gambling --peers 8 --byzantine 3 --task digits --steps 100

All attackers lie in the first attempt at each step; where an honest validator is drawn for one of them, one has the
attempt fail, and they send the truth in the next (GAMBLER). A row is one seed, with one refusal a step or any number.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from btard.behaviour import Behaviour
from btard.byzantine.court.gambler import Gambler
from btard.byzantine.settings import BehaviourSettings
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished


class AppliedLies:
    """Counts the steps that finished in their first attempt with a gambler among the members."""

    def __init__(self, simulation: Simulation) -> None:
        self._peers = simulation.chronicle.peers
        self.steps: set[int] = set()

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Count a step once."""
        if isinstance(event, Finished) and peer.honest and event.attempt == 0:
            authors = (envelope.author for envelope in event.certificate)
            if not all(self._peers[author].honest for author in authors):
                self.steps.add(event.step)

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Nothing more."""


def gamble(chosen: argparse.Namespace, seed: int, gambles: int) -> str:
    """Run one swarm, and return its row."""

    def make(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
        values = {"attack_type": "GAMBLER", "attack_start": 0, "gambles": gambles, "collude_patience": 0.0}
        behaviour = BehaviourSettings.model_validate({**values, "collude_at": f"memory:{meeting}"})
        return Gambler(behaviour, seed=bytes([number]))

    settings = SimulateSettings(
        peers=chosen.peers,
        byzantine=chosen.byzantine,
        attack=["NONE"],
        steps=chosen.steps,
        task=chosen.task,
        seed=seed,
        validators=1.0,
    )
    simulation = Simulation(settings, make_attacker=make)
    lies = AppliedLies(simulation)
    simulation.listeners.append(lies)
    chronicle = simulation.run().chronicle
    bans = Counter(ban.offence.name for ban in chronicle.bans)
    why = ", ".join(f"{count} {name}" for name, count in sorted(bans.items())) or "none"
    row = (seed, gambles, len(lies.steps), len(chronicle.voided), why, len(chronicle.suspensions), chronicle.all_out)
    return "| " + " | ".join(map(str, row)) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each seed and number of refusals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=8)
    parser.add_argument("--byzantine", type=int, default=3)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    print("| seed | refusals a step | lies applied, steps | attempts that failed | bans | suspended | all out after |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(1, chosen.seeds + 1):
        for gambles in (1, 99):
            print(gamble(chosen, seed, gambles))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
