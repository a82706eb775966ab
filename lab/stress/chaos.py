"""Scenarios drawn at random, run and checked: every failure is kept, with the command that repeats it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from btard.byzantine.installed import BEHAVIOURS_GROUP
from btard.errors import UserError
from btard.lab.simulation.invariants import Violation, run_checked
from btard.lab.simulation.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.vocabulary import NO_ATTACK, Eliminate, Validation

_QUIET = 0.5
"""The share of scenarios with a network that keeps its bound on delay, where more can be asked for."""


def attack_names() -> list[str]:
    """Return every installed behaviour but the honest one."""
    return sorted(set(entry_points(group=BEHAVIOURS_GROUP).names) - {NO_ATTACK})


def draw(seed: int, names: Sequence[str]) -> SimulateSettings:
    """Return a short scenario: 4 to 7 peers (now and then 16), attackers alone, in pairs or more, any network.

    Args:
        seed: decides everything.
        names: attacks to choose from.
    """
    chance = random.Random(seed)
    peers = chance.choice((4, 5, 5, 6, 7, 7)) if chance.random() < 0.97 else 16
    attack = chance.sample(names, min(len(names), chance.choice((1, 1, 2, 2, 3))))
    steps = chance.choice((2, 3, 4, 5, 6))
    quiet = chance.random() < _QUIET
    return SimulateSettings(
        seed=seed,
        peers=peers,
        byzantine=chance.randint(1, (peers - 1) // 2),
        attack=attack,
        attack_start=chance.choice((0, 0, 1, 2)),
        attack_every=chance.choice((1, 1, 1, 2, 3)),
        attack_proba=chance.choice((1.0, 1.0, 0.5)),
        steps=steps,
        task=chance.choice((WorkloadName.NONE, WorkloadName.NONE, WorkloadName.QUADRATIC)),
        dimension=chance.choice((1, 5, 16, 40)),
        delay=chance.choice(("0.01", "0.01", "0-0.3", "0.01-1.5")),
        loss=0.0 if quiet else chance.choice((0.0, 0.002, 0.02, 0.1)),
        cut=[] if quiet or chance.random() < 0.6 else [_cut(chance, peers)],
        validators=chance.choice((0.0, 0.5, 1.0, 1.0, 2.0)),
        validation=chance.choice(list(Validation)),
        eliminate=Eliminate.SUSPEND if chance.random() < 0.8 else Eliminate.MUTUAL,
        probation=chance.choice((0, 0, 1, 3)),
        rejoin=chance.choice(list(Rejoin)),
        newcomers=chance.choice((0, 0, 0, 1, 2)),
        newcomers_at=chance.choice((0, 1, 2)),
        sybils=chance.choice((0, 0, 0, 1, 2)),
        clip=chance.choice((None, None, None, 3.0)),
        momentum=chance.choice((0.0, 0.0, 0.0, 0.9)),
    )


def _cut(chance: random.Random, peers: int) -> str:
    start = round(chance.uniform(0.0, 2.0), 3)
    end = round(start + chance.choice((0.05, 0.5, 5.0, 40.0)), 3)
    return f"{start}-{end}:{chance.randint(1, max(1, peers // 2))}"


@dataclass
class Tally:
    """What came of many runs.

    Attributes:
        violations: one line for each, with the command that repeats it.
        halted: runs in which disputes or the network left no majority, so that the swarm stopped on purpose.
        checks: how often a peer's finished step was compared with the others'.
    """

    runs: int = 0
    halted: int = 0
    bans: int = 0
    checks: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another tally's runs, too."""
        self.runs += other.runs
        self.halted += other.halted
        self.bans += other.bans
        self.checks += other.checks
        self.violations += other.violations

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.checks} steps of peers compared, {self.bans} bans, {self.halted} swarms halted, "
            f"{len(self.violations)} violations"
        )


def run_one(settings: SimulateSettings) -> Tally:
    """Run one scenario and check it; what goes wrong is told, not raised."""
    tally = Tally(runs=1)
    try:
        simulation = Simulation(settings)
        invariants = run_checked(simulation)
    except Violation as violation:
        tally.violations.append(str(violation))
        return tally
    except UserError as error:
        tally.violations.append(f"it cannot be run: {error}; repeat it by: {settings.command}")
        return tally
    tally.checks = invariants.checks
    tally.bans = len(simulation.chronicle.bans)
    tally.halted = int(simulation.chronicle.finished + 1 < settings.steps)
    return tally


def run_seeds(seeds: Iterable[int], names: Sequence[str]) -> Tally:
    """Draw and run a scenario for each seed, and collect what goes wrong."""
    tally = Tally()
    for seed in seeds:
        tally.add(run_one(draw(seed, names)))
    return tally
