"""`btard-peer` as real processes with real p2pds: the path from an address to a step, and out again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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


def kill_all(programs: Iterable[Program]) -> None:
    """End the programs that still run."""
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(DEADLINE)


def events(directory: Path) -> list[dict[str, Any]]:
    """Return what a peer has logged; the last line may not be whole yet."""
    log = directory / "events.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


def steps(directory: Path) -> list[dict[str, Any]]:
    """Return the finished steps that a peer has logged."""
    return [event for event in events(directory) if event["event"] == "step"]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    kill_all(reversed(started))


@pytest.mark.swarm
def test_peers_of_one_tau_train_together_and_leave_when_told(tmp_path: Path, programs: list[Program]) -> None:
    words = "--experiment test --task digits --size tiny --host 127.0.0.1 --dht-port 0 --peers 2 --total-steps 100000"
    coordinator = Program(
        tmp_path / "coordinator.log",
        "btard-coordinator",
        *("--directory", tmp_path / "coordinator", *words.split()),
        HIVEMIND_TAU="0.125",
    )
    programs.append(coordinator)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)

    def peer(name: str, **environment: str) -> Program:
        program = Program(
            tmp_path / f"{name}.log",
            "btard-peer",
            *("--initial-peers", "127.0.0.1:1", address, "--host", "127.0.0.1", "--threads", "1"),
            *("--directory", tmp_path / name),
            **environment,
        )
        programs.append(program)
        return program

    other_tau = peer("other-tau", CCLIP_TAU="1")
    a, b = (peer(name) for name in "ab")
    assert other_tau.process.wait(DEADLINE) == 2
    assert "0.125" in other_tau.log.read_text().splitlines()[-1]
    until(lambda: all(len(steps(tmp_path / name)) > 3 for name in "ab"), a, b)
    assert b.end() == 130
    left = until(lambda: [e for e in events(tmp_path / "a") if e["event"] == "void" and e["left"]], a)
    assert len(left[0]["left"]) == 1 and left[0]["suspended"] == []
    assert a.end() == 130
    assert coordinator.end() == 130
    assert "Traceback" not in "".join(program.log.read_text() for program in programs)
