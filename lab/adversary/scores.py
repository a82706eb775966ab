"""What a strategy has achieved in one swarm: what honest peers have told, put into one number for each aim."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from btard.hashing import digest
from btard.identity import PeerId
from btard.lab.adversary.knowledge import Ring
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished, OutcomeKind, Stopped, Voided

UNDONE_SECONDS = 3600.0
"""What a step that is never done counts as, in virtual seconds."""

_PARTING, _LOSS = 0.01, 0.001
"""What two outcomes of a failed attempt, and an honest peer that is out, count as beside a fork: where they happen, a
fork may be near."""


class Aim(StrEnum):
    """What the adversary maximises."""

    HONEST_OUT = "honest-out"
    POISON = "poison"
    TIME = "time"
    BYTES = "bytes"
    FORKS = "forks"


HONEST_SCORE = {Aim.HONEST_OUT: 0.0, Aim.POISON: 0.0, Aim.TIME: 1.0, Aim.BYTES: 1.0, Aim.FORKS: 0.0}
"""What a strategy without lies scores."""

MOST_SCORE = {Aim.HONEST_OUT: 0.0, Aim.TIME: 3.0, Aim.FORKS: 0.0}
"""What the protocol promises that no strategy exceeds, in the mean over swarms; of time, but for divided votes
(docs/protocol.md, "What the members agree on"), which are left out of that search."""


@dataclass(frozen=True)
class RunCost:
    """What a run costs its honest peers.

    Attributes:
        seconds: virtual seconds a step, with what is never done.
        control_bytes: control bytes that all honest peers send and receive, for each step that is done.
    """

    seconds: float
    control_bytes: float


@dataclass(frozen=True)
class Scores:
    """What came of one strategy in one swarm.

    Attributes:
        honest_out: honest peers that were banned, suspended or left behind.
        poisoned: steps whose vector a lie about a colluder's gradient has entered.
        bans: colluders banned.
        time, control: seconds a step and control bytes a step, in proportion to the honest run.
        forks: steps of which two honest peers hold different results.
        partings: failed attempts that honest peers resolved in different ways.
        done: steps that an honest peer has finished.
        voided: attempts that failed.
    """

    honest_out: int
    poisoned: int
    bans: int
    time: float
    control: float
    forks: int
    partings: int
    done: int
    voided: int

    def of(self, aim: Aim) -> float:
        """Return the number that an aim maximises."""
        match aim:
            case Aim.HONEST_OUT:
                return float(self.honest_out)
            case Aim.POISON:
                return self.poisoned / (1 + self.bans)
            case Aim.TIME:
                return self.time
            case Aim.BYTES:
                return self.control
            case Aim.FORKS:
                return self.forks + _PARTING * self.partings + _LOSS * self.honest_out

    def __str__(self) -> str:
        return (
            f"honest peers out {self.honest_out}, steps poisoned {self.poisoned}, colluders banned {self.bans}, "
            f"time x{self.time:.4g}, control bytes x{self.control:.4g}, forks {self.forks}, partings {self.partings}, "
            f"steps done {self.done}, attempts failed {self.voided}"
        )


class Watcher:
    """Listens to the honest peers of a simulation."""

    def __init__(self, simulation: Simulation, ring: Ring) -> None:
        self._simulation = simulation
        self._ring = ring
        self._results: defaultdict[int, set[tuple[bytes, bytes]]] = defaultdict(set)
        self._outcomes: defaultdict[tuple[int, int], set[frozenset[PeerId]]] = defaultdict(set)
        self._poisoned: set[int] = set()
        self._banned: set[PeerId] = set()
        self._out: set[int] = set()
        self._stopped: list[tuple[int, int]] = []
        simulation.listeners.append(self)

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Note what an honest peer tells of."""
        if not peer.honest:
            return
        match event:
            case Finished():
                self._results[event.step].add((digest(event.flat), event.roster.digest))
                members = {envelope.author for envelope in event.certificate}
                if any((event.step, event.attempt, member) in self._ring.poisoned for member in members):
                    self._poisoned.add(event.step)
            case Voided():
                banned = [verdict.peer for verdict in event.verdicts]
                out = frozenset([*banned, *event.left, *(who for who, _ in event.suspended)])
                self._outcomes[event.step, event.attempt].add(out)
                self._banned = self._banned.union(banned)
            case Stopped(step=step, kind=kind):
                if kind is OutcomeKind.NO_MAJORITY:
                    self._stopped.append((peer.number, step))
                else:
                    self._out.add(peer.number)

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Nothing more."""

    def cost(self, left_seconds: float = UNDONE_SECONDS) -> RunCost:
        """Return what the run has cost, once it is over; `left_seconds` is what a step costs that no colluder was there
        for, and that has not been played."""
        simulation = self._simulation
        done, traffic = simulation.chronicle.finished + 1, simulation.traffic
        steps = simulation.settings.steps
        left = UNDONE_SECONDS if simulation.chronicle.all_out is None else left_seconds
        seconds = simulation.network.now + left * (steps - done)
        return RunCost(seconds / steps, (traffic.control_sent + traffic.control_received) / max(1, done))

    def scores(self, honest: RunCost) -> Scores:
        """Return the scores, once the run is over; `honest` is what the same run costs without lies."""
        chronicle, cost = self._simulation.chronicle, self.cost(honest.seconds)
        behind = {number for number, step in self._stopped if step <= chronicle.finished}
        banned = {chronicle.peers[who].number for who in self._banned if chronicle.peers[who].honest}
        return Scores(
            honest_out=len(self._out | behind | banned),
            poisoned=len(self._poisoned),
            bans=sum(not ban.peer.honest for ban in chronicle.bans),
            time=cost.seconds / honest.seconds,
            control=cost.control_bytes / honest.control_bytes,
            forks=sum(len(results) > 1 for results in self._results.values()),
            partings=sum(len(outcomes) > 1 for outcomes in self._outcomes.values()),
            done=chronicle.finished + 1,
            voided=len(chronicle.voided),
        )
