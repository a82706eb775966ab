"""A swarm of real processes that can be killed one by one, and is heard through the events that its peers write."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from btard.deploy.local.messages import Ended, Started
from btard.deploy.local.nursery_client import NurseryClient, last_lines, wait_until
from btard.deploy.local.plan import COORDINATOR, Member, SwarmPlan, listens
from btard.errors import UserError
from btard.swarm.events.peer import JoinedRun, PeerBanned, PeerEvent, StepFinished
from btard.swarm.events.reading import parse_peer
from btard.swarm.events.tail import Tail

_LOOK_SECONDS = 0.05
"""Seconds between looks at what the peers have written."""

_START_SECONDS = 120.0
"""Seconds within which a coordinator listens."""


@dataclass
class Program:
    """One process of the swarm, and what it has told so far.

    Attributes:
        pid: None while it does not run.
        steps: (when, number) of the steps that it has finished, in seconds since the epoch.
        joined: when it was counted in, each time.
        members: of the last step that it finished, those on probation included.
        banned: peers that it has seen banned.
        states: digest of the training state after each step, by incarnation of the run and step.
        incarnation: of the run, in which it was counted in last.
    """

    member: Member
    pid: int | None = None
    steps: list[tuple[float, int]] = field(default_factory=list)
    joined: list[float] = field(default_factory=list)
    members: int = 0
    banned: set[str] = field(default_factory=set)
    states: dict[tuple[int, int], str] = field(default_factory=dict)
    incarnation: int = 0

    @property
    def step(self) -> int:
        """The last step that it has finished, -1 before."""
        return self.steps[-1][1] if self.steps else -1

    def feed(self, event: PeerEvent) -> None:
        """Take in what it tells."""
        when = event.time or 0.0
        match event:
            case StepFinished():
                self.steps.append((when, event.step))
                self.members = event.members
                if event.state is not None:
                    self.states[self.incarnation, event.step] = event.state
            case JoinedRun():
                self.joined.append(when)
                self.incarnation = event.incarnation
            case PeerBanned():
                self.banned.add(event.peer)
            case _:
                pass


class Programs:
    """The processes of a swarm, which a nursery forks; nothing happens but within calls."""

    def __init__(self, plan: SwarmPlan, nursery: NurseryClient) -> None:
        """Take over a nursery that is ready."""
        self._plan = plan
        self._nursery = nursery
        self.all = {member.name: Program(member) for member in plan.members}
        self._tails = {peer.name: Tail[PeerEvent](peer.events, parse_peer) for peer in plan.peers}

    @property
    def directory(self) -> Path:
        """Where the processes write."""
        return self._plan.directory

    @property
    def memory_bytes(self) -> int:
        """What all processes take together, with their p2pd; what several share counts once."""
        pids = [self._nursery.pid, *(program.pid for program in self.all.values() if program.pid is not None)]
        return sum(pss_bytes(pid) for pid in {*pids, *(child for pid in pids for child in children(pid))})

    @property
    def peers(self) -> list[Program]:
        """Those that train."""
        return [program for name, program in self.all.items() if name != COORDINATOR]

    @property
    def coordinator(self) -> Program:
        """The one that does not train."""
        return self.all[COORDINATOR]

    def running(self) -> list[Program]:
        """Return the peers whose process runs."""
        return [program for program in self.peers if program.pid is not None]

    def start(self) -> None:
        """Start all, the coordinator first."""
        self.restart([COORDINATOR])
        self.restart([peer.member.name for peer in self.peers])

    def restart(self, names: Collection[str]) -> None:
        """Start processes that do not run; a coordinator listens on return."""
        for name in names:
            member = self.all[name].member
            is_first = name == COORDINATOR
            self._nursery.start(self._plan.start_coordinator() if is_first else self._plan.start_peer(member))
        self.wait(lambda: all(self.all[name].pid is not None for name in names), _START_SECONDS)
        if COORDINATOR in names and not self.wait(lambda: listens(self._plan.port), _START_SECONDS):
            raise UserError(f"the coordinator does not listen: {last_lines(self._plan.coordinator.log)}")

    def put_aside(self, program: Program) -> None:
        """Move the directory of a process that does not run out of the way, key included."""
        old = program.member.directory
        old.rename(old.with_name(f"{old.name}-put-aside-{len(program.joined)}"))
        self._tails[program.member.name] = Tail[PeerEvent](program.member.events, parse_peer)

    def send(self, program: Program, number: signal.Signals, *, p2pd: bool = False) -> None:
        """Send a signal to a process, or to its p2pd."""
        if program.pid is None:
            return
        for each in children(program.pid) if p2pd else [program.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)

    def look(self, seconds: float = _LOOK_SECONDS) -> None:
        """Wait a moment, and take in what has happened."""
        for report in self._nursery.reports(seconds):
            if isinstance(report, Started):
                self.all[report.name].pid = report.pid
            elif isinstance(report, Ended):
                self.all[report.name].pid = None
        for name, tail in self._tails.items():
            for event in tail.read_all():
                self.all[name].feed(event)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Look until something holds, for at most so many seconds; return whether it does."""
        return wait_until(condition, self.look, seconds)

    def wait_for_steps(self, count: int, among: Collection[Program], seconds: float) -> bool:
        """Wait until each of these has finished so many steps more."""
        goals = {program.member.name: len(program.steps) + count for program in among}
        return self.wait(lambda: all(len(each.steps) >= goals[each.member.name] for each in among), seconds)


def children(pid: int) -> list[int]:
    """Return the pids of the processes that a process has started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def pss_bytes(pid: int) -> int:
    """Return the memory of a process in which pages that n processes share count as an n-th; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
