"""Decides what to do about the difference between the fleet that is wanted and the one that is there. Calls nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from btard.deploy.aws.fleet import DONE, Machine, MachineRole, State, Wanted, by_slot, chain_cost, name_of

COORDINATOR_SLOT = -1


class End(StrEnum):
    """Why nothing more is to be done."""

    OVER = "the coordinator has ended by itself, as its last lines in the logs explain"
    TIME = "the time limit is over"
    LOST = "the coordinator is lost, and without a --bucket nothing can go on from its files"


@dataclass(frozen=True)
class StartMachine:
    """Start a machine.

    Attributes:
        earlier: what the machines cost that were in the slot before.
        replaces: the name and the reason of the one that was lost, empty for the first.
    """

    role: MachineRole
    slot: int
    generation: int
    behaviour: str
    earlier: float = 0.0
    replaces: str = ""

    @property
    def name(self) -> str:
        """What people will call it."""
        return name_of(self.role, self.slot)


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Attributes:
        end: everything is to be terminated, because of this.
        terminate: the machines that are not wanted, and why.
        start: the machines that are missing.
    """

    end: End | None = None
    terminate: tuple[tuple[Machine, str], ...] = ()
    start: tuple[StartMachine, ...] = field(default=())

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done."""
        return self.end is None and not self.terminate and not self.start


def decide(wanted: Wanted, machines: list[Machine], now: datetime, *, restorable: bool) -> Decision:
    """Return what brings the fleet nearer to what is wanted.

    A machine that ended by itself stays ended, since its peer has finished or is banned; one that was ended by AWS or
    by hand is replaced. Workers wait for a coordinator that runs.

    Args:
        wanted: the fleet.
        machines: all that AWS shows, dead ones too.
        now: the time.
        restorable: whether a new coordinator goes on where the lost one was.
    """
    if now >= wanted.expires:
        return Decision(end=End.TIME)
    slots = by_slot(machines)
    chain = slots.pop(COORDINATOR_SLOT, [])
    terminate: list[tuple[Machine, str]] = []
    start: list[StartMachine] = []

    coordinator = _look(chain, wanted, MachineRole.COORDINATOR, COORDINATOR_SLOT, now, terminate, start)
    if coordinator is None:
        current = [machine for machine in chain if machine.generation == wanted.generation]
        if current and current[-1].why == DONE:
            return Decision(end=End.OVER)
        if current and not restorable:
            return Decision(end=End.LOST)
    if coordinator is not None and coordinator.state is State.RUNNING and coordinator.private_ip:
        for slot in range(wanted.workers):
            _look(slots.get(slot, []), wanted, wanted.role_of(slot), slot, now, terminate, start)
    for slot, surplus in slots.items():
        for machine in surplus:
            if machine.alive and (slot >= wanted.workers or machine.generation != wanted.generation):
                terminate.append((machine, "it is not wanted any more"))
    return Decision(terminate=tuple(dict.fromkeys(terminate)), start=tuple(start))


def _look(
    chain: list[Machine],
    wanted: Wanted,
    role: MachineRole,
    slot: int,
    now: datetime,
    terminate: list[tuple[Machine, str]],
    start: list[StartMachine],
) -> Machine | None:
    """Find the machine that fills a slot; note what is superfluous there, and what is missing."""
    behaviour = wanted.behaviour_of(role)

    def fits(machine: Machine) -> bool:
        same = machine.role is role and machine.behaviour == behaviour
        return machine.generation == wanted.generation and (same or role is MachineRole.COORDINATOR)

    fitting = [machine for machine in chain if machine.alive and fits(machine)]
    keep = fitting[0] if fitting else None
    for machine in chain:
        if machine.alive and machine is not keep:
            terminate.append((machine, "another one has its place" if fits(machine) else "its role has changed"))
        elif machine.state in (State.STOPPING, State.STOPPED):
            terminate.append((machine, "it was stopped"))
    if keep is not None:
        return keep
    last = chain[-1] if chain else None
    done = last is not None and last.why == DONE and fits(last)
    if not done:
        lost = last is not None and fits(last)
        start.append(
            StartMachine(
                role=role,
                slot=slot,
                generation=wanted.generation,
                behaviour=behaviour,
                earlier=round(chain_cost(chain, now), 6),
                replaces=f"{last.name} ({last.id}) was lost: {last.why or 'no reason is known'}"
                if lost and last
                else "",
            )
        )
    return None
