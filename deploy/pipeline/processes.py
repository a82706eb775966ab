"""The processes of a pipeline on this machine: a coordinator, and peers that take its stages or wait for one.

Only processes that were started here are ever ended, each by its id.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from btard.deploy.local.messages import Ended, Start, Started, Wave
from btard.deploy.local.nursery_client import NurseryClient, last_lines, wait_until
from btard.deploy.local.plan import COORDINATOR, HOST, Member, free_port, listens, local_key
from btard.errors import UserError
from btard.swarm.events.coordinator import CoordinatorEvent, PeerWelcomed, StagesSeated
from btard.swarm.events.reading import parse_coordinator
from btard.swarm.events.tail import Tail, json_object

PEER_TARGET, COORDINATOR_TARGET = "btard.pipeline.live.daemon:run", "btard.coordinator.daemon:run"

PRELOAD = (
    "btard.pipeline.live.daemon",
    "btard.pipeline.live.peer",
    "btard.peer.assembly",
    "btard.coordinator.daemon",
    "btard.coordinator.assembly",
    "btard.coordinator.pipeline.supervisor",
    "btard.coordinator.pipeline_terms",
    "btard.byzantine.selection",
    "uvloop",
    "hivemind",
    "torch._dynamo",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.opt.modeling_opt",
    "transformers.models.bloom.modeling_bloom",
)
"""What the nursery imports before it forks; each process would need seconds for it."""

_START_SECONDS = 120.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class StageProcessesPlan:
    """Which processes there are.

    Attributes:
        directory: of the run.
        coordinator: the first one.
        peers: those that take stages or wait.
        words: of the coordinator's command line, beside where it listens and writes.
        link: every peer's way out, as text; None leaves it.
        port: of the coordinator.
        environments: of single peers, by name, beside what all have: in what they lie.
    """

    directory: Path
    coordinator: Member
    peers: tuple[Member, ...]
    words: tuple[str, ...]
    link: str | None
    port: int
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def make(
        cls, directory: Path, peers: int, words: tuple[str, ...], seed: int, link: str | None = None
    ) -> StageProcessesPlan:
        """Make the directories and the keys; raises UserError if one cannot be written."""
        directory = directory.absolute()
        if (directory / COORDINATOR).exists():
            raise UserError(f"{directory} holds a run; give another --directory")
        members = [_member(directory, name, seed) for name in (COORDINATOR, *(f"peer-{n}" for n in range(peers)))]
        return cls(directory, members[0], tuple(members[1:]), words, link, free_port())

    def start_of(self, member: Member) -> Start:
        """Return how a process starts."""
        if member is self.coordinator:
            words = ["--dht-port", str(self.port), *self.words]
        else:
            address = f"/ip4/{HOST}/tcp/{self.port}/p2p/{self.coordinator.peer_id}"
            words = ["--initial-peers", address, *(() if self.link is None else ("--link", self.link))]
        return Start(
            name=member.name,
            target=COORDINATOR_TARGET if member is self.coordinator else PEER_TARGET,
            argv=[*words, "--directory", str(member.directory), "--host", HOST],
            environment=dict(self.environments.get(member.name, {})),
            log=str(member.log),
            identity=str(member.identity),
            wave=Wave.COORDINATOR if member is self.coordinator else Wave.PEERS,
        )


@dataclass
class StageProcesses:
    """Processes that a nursery has forked, heard through what the coordinator writes; nothing happens but in calls.

    Attributes:
        pids: of those that run, by name.
        codes: exit codes of those that have ended.
        seating: the newest, None before the first.
        losses: of the steps, as the last stage reports them; a step that is done again counts once more.
    """

    plan: StageProcessesPlan
    nursery: NurseryClient
    pids: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    seating: StagesSeated | None = None
    losses: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        directory = self.plan.coordinator.directory
        self._events = Tail[CoordinatorEvent](self.plan.coordinator.events, parse_coordinator)
        self._welcomed = 0
        self._steps = Tail[dict[str, Any]](directory / "steps.jsonl", json_object)

    @property
    def step(self) -> int:
        """The newest step that the last stage has told of, -1 before the first."""
        return max(self.losses, default=-1)

    def start(self, *, in_order: bool = False) -> None:
        """Start all, the coordinator first.

        Args:
            in_order: start each peer once the one before waits, so that they get stages in their order.
        """
        self.nursery.start(self.plan.start_of(self.plan.coordinator))
        if not self.wait(lambda: bool(self.codes) or listens(self.plan.port), _START_SECONDS) or self.codes:
            raise UserError(f"the coordinator does not listen: {last_lines(self.plan.coordinator.log)}")
        for number, peer in enumerate(self.plan.peers, 1):
            self.nursery.start(self.plan.start_of(peer))
            if in_order:
                self.wait(partial(self._are_welcome, number), _START_SECONDS)

    def _are_welcome(self, peers: int) -> bool:
        """Whether so many peers wait for a stage, or one that was to has ended."""
        return self._welcomed >= peers or bool(self.codes)

    def look(self, seconds: float = _LOOK_SECONDS, waker: Any = None) -> None:
        """Wait a moment, and take in what has happened."""
        for report in self.nursery.reports(seconds, waker):
            match report:
                case Started():
                    self.pids[report.name] = report.pid
                case Ended():
                    self.pids.pop(report.name, None)
                    self.codes[report.name] = report.code
        for event in self._events.read_all():
            match event:
                case StagesSeated():
                    self.seating = event
                case PeerWelcomed():
                    self._welcomed += 1
        for line in self._steps.read_all():
            self.losses[line["step"]] = line["loss"]

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Look until something holds, for at most so many seconds; return whether it does."""
        return wait_until(condition, self.look, seconds)

    def name_of(self, stage: int) -> str:
        """Return the name of the process that runs a stage."""
        assert self.seating is not None
        return next(peer.name for peer in self.plan.peers if str(peer.peer_id) == self.seating.seats[stage])

    def kill(self, name: str) -> None:
        """Kill a process at once, as a power cut would."""
        os.kill(self.pids[name], signal.SIGKILL)

    def summary(self) -> dict[str, Any] | None:
        """Return what the coordinator says that the run came to; None before its end."""
        path = self.plan.coordinator.directory / "summary.json"
        return dict(json.loads(path.read_text())) if path.exists() else None


def environment() -> dict[str, str]:
    """Return the environment of the processes: one thread each, or sums would round differently."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def _member(directory: Path, name: str, seed: int) -> Member:
    key = local_key(seed, name)
    member = Member(name, directory / name, key.peer_id)
    try:
        member.directory.mkdir(parents=True, exist_ok=True)
        key.save(member.identity)
    except OSError as error:
        raise UserError(f"cannot write into {member.directory}: {error.strerror}; give another --directory") from None
    return member
