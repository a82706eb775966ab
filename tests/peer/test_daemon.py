"""`btard-peer` as real processes with real p2pds: the path from an address to a step, a death, and the way back in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
DEADLINE = 120.0


class Program:
    """A program in a process group of its own, its log in a file."""

    def __init__(self, log: Path, *words: str | Path, **environment: str) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [BIN / str(words[0]), *map(str, words[1:])],
                env={**os.environ, **environment},
                stderr=file,
                start_new_session=True,
            )

    def end(self) -> int:
        """Interrupt it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE)


def until(condition: Callable[[], Any], *programs: Program) -> Any:
    """Wait until the condition gives something; fails when that takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, "\n".join(program.log.read_text()[-2000:] for program in programs)
        time.sleep(0.1)
    return found


def steps(directory: Path) -> list[dict[str, Any]]:
    """Return the finished steps that a peer has logged."""
    log = directory / "events.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    events = [json.loads(line) for line in lines]
    return [event for event in events if event["event"] == "step"]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in reversed(started):
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(DEADLINE)


@pytest.mark.swarm
def test_a_killed_peer_is_left_out_and_comes_back(tmp_path: Path, programs: list[Program]) -> None:
    words = "--experiment test --task digits --size tiny --host 127.0.0.1 --dht-port 0 --peers 3 --total-steps 100000"
    deadlines = "--commit-timeout 8 --scatter-timeout 8 --gather-timeout 8 --agree-timeout 5 --settle-timeout 2"
    coordinator = Program(
        tmp_path / "coordinator.log",
        "btard-coordinator",
        "--directory",
        tmp_path / "coordinator",
        *words.split(),
        *deadlines.split(),
    )
    programs.append(coordinator)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)

    def peer(name: str, log: str) -> Program:
        program = Program(
            tmp_path / log,
            "btard-peer",
            *("--initial-peers", "127.0.0.1:1", address, "--host", "127.0.0.1", "--threads", "1"),
            *("--directory", tmp_path / name),
        )
        programs.append(program)
        return program

    a, b, c = (peer(name, f"{name}.log") for name in "abc")
    until(lambda: all(len(steps(tmp_path / name)) > 3 for name in "abc"), a, b, c)

    os.kill(c.process.pid, signal.SIGKILL)
    c.process.wait(DEADLINE)
    until(lambda: steps(tmp_path / "a")[-1]["members"] == 2, a, b)

    again = peer("c", "c-again.log")
    until(lambda: steps(tmp_path / "a")[-1]["members"] == 3, a, b, again)
    before = len(steps(tmp_path / "c"))
    until(lambda: len(steps(tmp_path / "c")) > before + 3, a, b, again)
    assert "took over the training state" in again.log.read_text()

    for program in (again, b, a):
        assert program.end() == 130
    assert coordinator.end() == 130
    assert "Traceback" not in "".join(program.log.read_text() for program in programs)


@pytest.mark.swarm
def test_a_peer_told_another_tau_than_the_run_s_is_refused(tmp_path: Path, programs: list[Program]) -> None:
    coordinator = Program(
        tmp_path / "coordinator.log",
        "btard-coordinator",
        *("--directory", tmp_path / "coordinator", "--experiment", "test", "--task", "digits", "--size", "tiny"),
        *("--host", "127.0.0.1", "--dht-port", "0"),
        HIVEMIND_TAU="0.125",
    )
    programs.append(coordinator)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)
    peer = Program(
        tmp_path / "peer.log",
        "btard-peer",
        *("--initial-peers", address, "--host", "127.0.0.1", "--directory", tmp_path / "peer"),
        CCLIP_TAU="1",
    )
    programs.append(peer)
    assert peer.process.wait(DEADLINE) == 2
    assert "0.125" in peer.log.read_text().splitlines()[-1]
    assert coordinator.end() == 130
