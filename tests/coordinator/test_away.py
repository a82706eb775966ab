"""Real swarms whose coordinator is killed, or whose disk is full: nothing is lost, or what is lost is named."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btard.deploy.local.plan import free_port
from tests.peer.test_daemon import Program, events, kill_all, steps, until


class Swarm:
    """A coordinator and peers, each in its folder, all on ports that stay the same."""

    def __init__(self, folder: Path, *, peers: int, total_steps: int, every: int = 5) -> None:
        self.folder = folder
        self.total = total_steps
        self.every = every
        self.ports: dict[str, int] = {}
        self.programs: list[Program] = []
        self.running: dict[str, Program] = {}
        self._words = (
            f"--experiment test --task digits --size tiny --host 127.0.0.1 --peers {peers} --total-steps {total_steps} "
            f"--checkpoint-every {every} --refresh-period 0.5"
        ).split()

    def start(self, name: str, through: str = "coordinator") -> Program:
        """Start a program; a peer joins through another program."""
        port = self.ports.setdefault(name, free_port())
        if name == "coordinator":
            words = ["btard-coordinator", "--dht-port", str(port), *self._words]
        else:
            words = ["btard-peer", "--initial-peers", f"127.0.0.1:{self.ports[through]}", "--threads", "1"]
            words += ["--host", "127.0.0.1", "--port", str(port)]
        log = self.folder / f"{name}-{len(self.programs)}.log"
        program = self.running[name] = Program(log, *words, "--directory", self.folder / name)
        self.programs.append(program)
        if name == "coordinator":
            until(lambda: "join with" in program.log.read_text(), program)
        return program

    def kill(self, name: str) -> None:
        """End a program as a power cut does."""
        program = self.running.pop(name)
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()

    def end(self, name: str) -> None:
        """Let a program say goodbye."""
        self.running.pop(name).end()

    def step_of(self, name: str) -> int:
        """The last step that a peer has finished."""
        return max((event["step"] for event in steps(self.folder / name)), default=-1)

    def first_step_of(self, name: str) -> int:
        """The first step that a peer was a member in."""
        return next(int(event["step"]) for event in events(self.folder / name) if event["event"] == "joined")

    def wait_for(self, name: str, step: int) -> None:
        """Wait until a peer has finished a step."""
        until(lambda: self.step_of(name) >= step, *self.running.values())

    def finish(self) -> None:
        """Wait until the run is over for all that are left."""
        for name in sorted(self.running, reverse=True):
            assert self.running[name].process.wait(300) == 0, self.running[name].log.read_text()[-3000:]

    def told(self, event: str) -> list[dict[str, Any]]:
        """The events of a name in the coordinator's log."""
        return [each for each in events(self.folder / "coordinator") if each["event"] == event]

    @property
    def summarised(self) -> list[int]:
        """The steps that have a line in the coordinator's file."""
        lines = (self.folder / "coordinator" / "steps.jsonl").read_text().splitlines()
        return [json.loads(line)["step"] for line in lines]

    def reported_by(self, peer: str) -> set[int]:
        """The steps of which the coordinator has a peer's report."""
        lines = map(json.loads, (self.folder / "coordinator" / "metrics.jsonl").read_text().splitlines())
        return {line["step"] for line in lines if line["peer"] == peer}

    @property
    def named(self) -> list[int]:
        """The steps whose states are wanted."""
        return list(range(self.every, self.total + 1, self.every))

    def saved(self) -> set[int]:
        """The steps whose states the coordinator has."""
        folder = self.folder / "coordinator" / "checkpoints"
        return {int(found.parent.name.removeprefix("step-")) for found in folder.glob("step-*/checkpoint.json")}

    def check_logs(self) -> None:
        """No program has met what it does not know."""
        assert "Traceback" not in "".join(program.log.read_text() for program in self.programs)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Swarm]]:
    made: list[Swarm] = []
    yield made
    kill_all(program for swarm in made for program in reversed(swarm.programs))


@pytest.mark.slow
@pytest.mark.swarm
def test_a_coordinator_that_was_away_has_missed_nothing(tmp_path: Path, started: list[Swarm]) -> None:
    swarm = Swarm(tmp_path, peers=4, every=10, total_steps=800)
    started.append(swarm)
    for name in ("coordinator", "a", "b", "c", "d"):
        swarm.start(name)
    swarm.wait_for("a", 20)
    swarm.kill("coordinator")
    swarm.wait_for("a", 120)
    swarm.start("e", through="b")
    swarm.wait_for("e", swarm.step_of("a") + 5)
    swarm.kill("c")
    again = swarm.start("c")
    swarm.wait_for("c", swarm.step_of("a") + 5)
    assert "joining by the members of the last start" in again.log.read_text()
    swarm.start("coordinator")
    swarm.finish()
    assert swarm.summarised == list(range(swarm.total)) and swarm.told("reports_missed") == []
    assert swarm.saved() == set(swarm.named) and swarm.told("checkpoint_missed") == []
    c = next(event["peer"] for event in events(tmp_path / "c") if event["event"] == "joined")
    told = {event["step"] for event in steps(tmp_path / "c") if event["loss"] is not None}
    assert told <= swarm.reported_by(c), "what it has reported outlives a peer that was killed"
    for name in "abcde":
        assert list((tmp_path / name / "held").glob("*")) == [], "what is stored is let go"
    swarm.check_logs()


@pytest.mark.slow
@pytest.mark.swarm
def test_a_swarm_of_newcomers_is_found_again(tmp_path: Path, started: list[Swarm]) -> None:
    """All whom the coordinator knew leave while it is away; newcomers come in through newcomers."""
    swarm = Swarm(tmp_path, peers=3, total_steps=100_000, every=20)
    started.append(swarm)
    for name in ("coordinator", "a", "b", "c"):
        swarm.start(name)
    swarm.wait_for("a", 30)
    swarm.kill("coordinator")
    for through, name in ("ad", "de", "ef"):
        swarm.start(name, through=through)
        swarm.wait_for(name, swarm.step_of("a") + 2)
    for old, other in ("ad", "be", "cf"):
        swarm.end(old)
        swarm.wait_for(other, swarm.step_of(other) + 5)
    swarm.start("g", through="f")
    swarm.wait_for("g", swarm.step_of("f") + 5)
    swarm.start("coordinator")
    back = swarm.step_of("g")
    until(lambda: swarm.told("checkpoint_missed") and max(swarm.summarised) > back, *swarm.running.values())
    until(lambda: max(swarm.saved()) > back, *swarm.running.values())

    first = {name: swarm.first_step_of(name) for name in "def"}
    missed = [step for lost in swarm.told("reports_missed") for step in range(lost["first"], lost["last"] + 1)]
    summarised = swarm.summarised
    assert sorted([*summarised, *missed]) == list(range(max(summarised) + 1))
    assert missed and max(missed) < first["e"], "what newcomers have reported is not lost"
    given_up = {lost["step"] for lost in swarm.told("checkpoint_missed")}
    named = set(range(20, back, 20))
    assert swarm.saved() >= {step for step in named if step > first["f"]}, "most voters have held them"
    assert named <= swarm.saved() | given_up and not swarm.saved() & given_up
    assert "nobody has shown what the peers report of" in swarm.running["coordinator"].log.read_text()
    for name in sorted(swarm.running, reverse=True):
        swarm.end(name)
    swarm.check_logs()


@pytest.mark.slow
@pytest.mark.swarm
def test_peers_wait_for_a_coordinator_whose_disk_is_full(tmp_path: Path, started: list[Swarm]) -> None:
    swarm = Swarm(tmp_path, peers=2, total_steps=40)
    started.append(swarm)
    coordinator = swarm.start("coordinator")
    soft = 30_000  # bytes: the logs fit, no state does
    resource.prlimit(coordinator.process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
    peers = [swarm.start(name) for name in "ab"]
    for peer in peers:
        until(
            lambda peer=peer: re.search(r"waiting for the coordinator to store .* is in (\S+)", peer.log.read_text()),
            peer,
        )
    until(lambda: swarm.told("checkpoint_delayed"), coordinator)
    assert swarm.saved() == set() and swarm.told("checkpoint_missed") == []
    assert all(program.process.poll() is None for program in (coordinator, *peers))
    assert all((tmp_path / name / "held" / f"step-{swarm.total:012d}.state").exists() for name in "ab")
    resource.prlimit(coordinator.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    swarm.finish()
    assert swarm.saved() == set(swarm.named)
    swarm.check_logs()
