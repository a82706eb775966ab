"""The accidents that a swarm meets with, each carried out on real processes."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from enum import StrEnum

from btard.deploy.chaos.programs import Program, Programs
from btard.peer.keeping.progress import PROGRESS_FILE


class Accident(StrEnum):
    """What happens."""

    KILL = "kill"
    """The Python process of a peer dies at once (SIGKILL), and its p2pd with it."""
    KILL_P2PD = "kill-p2pd"
    """The p2pd of a peer dies at once; the peer notices, and leaves."""
    KILL_TWO = "kill-two"
    """Two peers die at once."""
    KILL_MOST = "kill-most"
    """More than half of the peers die at once."""
    KILL_COORDINATOR = "kill-coordinator"
    """The coordinator dies at once."""
    TEAR = "tear"
    """A peer dies, and the file in which it notes what it has begun is torn."""
    GOODBYE = "goodbye"
    """A peer is asked to end (SIGTERM), and says goodbye."""
    STOP = "stop"
    """A peer stands still (SIGSTOP), as behind a closed lid."""


STOPPED_SECONDS = 20.0
"""How long a stopped process stands still, where nothing else is said."""


def hit_by(accident: Accident, swarm: Programs, chance: random.Random) -> Sequence[Program]:
    """Draw the processes that it hits."""
    match accident:
        case Accident.KILL_COORDINATOR:
            return [swarm.coordinator] if swarm.coordinator.pid is not None else []
        case Accident.KILL_TWO:
            return chance.sample(swarm.running(), 2)
        case Accident.KILL_MOST:
            return chance.sample(swarm.running(), len(swarm.peers) // 2 + 1)
        case _:
            return chance.sample(swarm.running(), 1)


def strike(accident: Accident, swarm: Programs, hit: Sequence[Program]) -> None:
    """Have it happen."""
    for program in hit:
        match accident:
            case Accident.KILL_P2PD:
                swarm.send(program, signal.SIGKILL, p2pd=True)
            case Accident.GOODBYE:
                swarm.send(program, signal.SIGTERM)
            case Accident.STOP:
                swarm.send(program, signal.SIGSTOP)
                swarm.send(program, signal.SIGSTOP, p2pd=True)
            case _:
                swarm.send(program, signal.SIGKILL)


def mend(accident: Accident, swarm: Programs, hit: Sequence[Program]) -> None:
    """Have the processes run again, with the words that they had."""
    if accident is Accident.STOP:
        for program in hit:
            swarm.send(program, signal.SIGCONT, p2pd=True)
            swarm.send(program, signal.SIGCONT)
        return
    swarm.wait(lambda: all(program.pid is None for program in hit), 30.0)
    if accident is Accident.TEAR:
        for program in hit:
            _tear(program)
    swarm.restart([program.member.name for program in hit])


def _tear(program: Program) -> None:
    path = program.member.directory / PROGRESS_FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
