"""One strategy in one small swarm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from btard.lab.adversary.colluder import Colluder
from btard.lab.adversary.colluding_peer import ColludingPeer
from btard.lab.adversary.knowledge import Ring
from btard.lab.adversary.scores import UNDONE_SECONDS, RunCost, Scores, Watcher
from btard.lab.adversary.strategy import Strategy
from btard.lab.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation import Simulation


@dataclass(frozen=True)
class Arena:
    """The swarm that strategies are played in.

    Attributes:
        peers, byzantine: how many peers, and how many of them collude.
        validators: mean number a step.
        task: what is trained, `dimension` numbers.
        delay: seconds that a message travels: a number, or a range.
    """

    peers: int = 7
    byzantine: int = 3
    steps: int = 8
    validators: float = 1.0
    task: WorkloadName = WorkloadName.NONE
    dimension: int = 16
    delay: str = "0.008-0.012"

    def settings(self, seed: int) -> SimulateSettings:
        """Return the settings of one run."""
        return SimulateSettings(
            peers=self.peers,
            byzantine=self.byzantine,
            attack=[Colluder.name],
            steps=self.steps,
            validators=self.validators,
            task=self.task,
            dimension=self.dimension,
            delay=self.delay,
            cut=[],
            seed=seed,
            rejoin=Rejoin.NONE,
        )


def play(strategy: Strategy, arena: Arena, seed: int) -> Scores:
    """Return what a strategy achieves; the same arguments give the same scores."""
    return _run(strategy, arena, seed).scores(_honest_cost(arena, seed))


@lru_cache(maxsize=4096)
def _honest_cost(arena: Arena, seed: int) -> RunCost:
    return _run(Strategy(), arena, seed).cost()


def _run(strategy: Strategy, arena: Arena, seed: int) -> Watcher:
    ring = Ring(seed)
    simulation = Simulation(
        arena.settings(seed), make_attacker=lambda *_: Colluder(strategy, ring), attacker_type=ColludingPeer
    )
    watcher = Watcher(simulation, ring)
    latest = arena.steps * UNDONE_SECONDS
    simulation.run(until=lambda: simulation.network.now > latest)
    return watcher
