"""The accidents that a swarm meets with, each carried out on real processes."""

from __future__ import annotations

import contextlib
import random
import resource
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
    FILL_DISK = "fill-disk"
    """The disk of a peer takes not a byte more for a while."""
    FILL_COORDINATOR_DISK = "fill-coordinator-disk"
    """The disk of the coordinator takes not a byte more for a while."""
    REPLACE = "replace"
    """A peer dies with its disk, key included, and a newcomer starts in its place."""

    @property
    def sends_away(self) -> bool:
        """Whether the peers that it hits lose their places, and come back."""
        return self not in (Accident.KILL_COORDINATOR, Accident.FILL_DISK, Accident.FILL_COORDINATOR_DISK)


STOPPED_SECONDS = 20.0
"""How long a stopped process stands still, where nothing else is said."""


def hit_by(accident: Accident, swarm: Programs, chance: random.Random) -> Sequence[Program]:
    """Draw the processes that it hits."""
    match accident:
        case Accident.KILL_COORDINATOR | Accident.FILL_COORDINATOR_DISK:
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
            case Accident.FILL_DISK | Accident.FILL_COORDINATOR_DISK:
                _let_write(program, 0)
            case _:
                swarm.send(program, signal.SIGKILL)


def mend(accident: Accident, swarm: Programs, hit: Sequence[Program]) -> None:
    """Have the processes run again, with the words that they had, and their disks take bytes again."""
    match accident:
        case Accident.STOP:
            for program in hit:
                swarm.send(program, signal.SIGCONT, p2pd=True)
                swarm.send(program, signal.SIGCONT)
            return
        case Accident.FILL_DISK | Accident.FILL_COORDINATOR_DISK:
            for program in hit:
                _let_write(program, resource.RLIM_INFINITY)
            return
    swarm.wait(lambda: all(program.pid is None for program in hit), 30.0)
    for program in hit:
        match accident:
            case Accident.TEAR:
                _tear(program)
            case Accident.REPLACE:
                swarm.put_aside(program)
    swarm.restart([program.member.name for program in hit])


def _tear(program: Program) -> None:
    path = program.member.directory / PROGRESS_FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _let_write(program: Program, most_bytes: int) -> None:
    """Bound the size of files that a process writes: what goes beyond fails as on a full disk, and needs no root."""
    if program.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
