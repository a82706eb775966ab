"""The accidents that a swarm meets with, each carried out on real processes."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from enum import StrEnum

from btard.deploy.chaos.programs import Program, Programs


class Accident(StrEnum):
    """What happens."""

    KILL = "kill"
    """The Python process of a peer dies at once (SIGKILL), and its p2pd with it."""
    KILL_P2PD = "kill-p2pd"
    """The p2pd of a peer dies at once; the peer notices, and leaves."""
    GOODBYE = "goodbye"
    """A peer is asked to end (SIGTERM), and says goodbye."""
    STOP = "stop"
    """A peer stands still for 20 s (SIGSTOP), as behind a closed lid."""
    KILL_COORDINATOR = "kill-coordinator"
    """The coordinator dies at once."""
    KILL_TWO = "kill-two"
    """Two peers die at once."""


STOPPED_SECONDS = 20.0
"""How long a stopped process stands still."""


def hit_by(accident: Accident, swarm: Programs, chance: random.Random) -> Sequence[Program]:
    """Draw the processes that it hits."""
    match accident:
        case Accident.KILL_COORDINATOR:
            return [program for program in swarm.all.values() if program not in swarm.peers and program.pid is not None]
        case Accident.KILL_TWO:
            return chance.sample(swarm.running(), 2)
        case _:
            return chance.sample(swarm.running(), 1)


def strike(accident: Accident, swarm: Programs, hit: Sequence[Program]) -> None:
    """Have it happen."""
    for program in hit:
        name = program.member.name
        match accident:
            case Accident.KILL | Accident.KILL_TWO | Accident.KILL_COORDINATOR:
                swarm.send(name, signal.SIGKILL)
            case Accident.KILL_P2PD:
                swarm.send(name, signal.SIGKILL, p2pd=True)
            case Accident.GOODBYE:
                swarm.send(name, signal.SIGTERM)
            case Accident.STOP:
                swarm.send(name, signal.SIGSTOP)
                swarm.send(name, signal.SIGSTOP, p2pd=True)


def mend(accident: Accident, swarm: Programs, hit: Sequence[Program]) -> None:
    """Have the processes run again."""
    names = [program.member.name for program in hit]
    if accident is Accident.STOP:
        for name in names:
            swarm.send(name, signal.SIGCONT, p2pd=True)
            swarm.send(name, signal.SIGCONT)
        return
    swarm.wait(lambda: all(program.pid is None for program in hit), 30.0)
    swarm.restart(names)
