"""One strategy in one small swarm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from btard.lab.adversary.colluder import Colluder
from btard.lab.adversary.colluding_peer import ColludingPeer
from btard.lab.adversary.knowledge import Ring
from btard.lab.adversary.scores import UNDONE_SECONDS, Aim, RunCost, Scores, Watcher
from btard.lab.adversary.strategy import Strategy
from btard.lab.simulation.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation


@dataclass(frozen=True)
class Arena:
    """The swarm that strategies are played in.

    Attributes:
        peers, byzantine: how many peers, and how many of them collude: as many as may. Beside a validator half of the
            workers lie.
        steps: of a run.
        long_steps: of a run in which time is measured: who keeps others waiting loses its place for it, and so pays
            once.
        until_alone: whether a run ends once no colluder is a member; what is left is a run of honest peers.
        validators: mean number a step.
        task: what is trained, `dimension` numbers.
        delay: seconds that a message travels: a number, or a range.
    """

    peers: int = 7
    byzantine: int = 3
    steps: int = 8
    long_steps: int = 100
    until_alone: bool = False
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

    def measuring(self, aim: Aim) -> Arena:
        """Return the arena in which an aim is measured."""
        return replace(self, steps=self.long_steps, until_alone=True) if aim is Aim.TIME else self


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
    chronicle = simulation.chronicle
    simulation.run(
        until=lambda: simulation.network.now > latest or (arena.until_alone and chronicle.all_out is not None)
    )
    return watcher
