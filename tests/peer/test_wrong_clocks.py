"""A swarm in which every machine's clock says something else, as real processes: it trains as any other does."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.peer.test_daemon import DEADLINE, Program, programs, until

__all__ = ["programs"]

WRONG_CLOCK = """
import os, time

_wrong_by, _time, _time_ns = float(os.environ["TEST_CLOCK_WRONG_BY"]), time.time, time.time_ns
time.time = lambda: _time() + _wrong_by
time.time_ns = lambda: _time_ns() + int(_wrong_by * 1e9)
"""


@pytest.mark.slow
@pytest.mark.swarm
@pytest.mark.parametrize(
    ("coordinator_by", "peers_by"),
    [(0, (150, -300, 3600)), (3600, (0, 300, -60)), (-300, (0, 60, 150))],
)
def test_wrong_clocks_keep_nobody_out(
    tmp_path: Path, programs: list[Program], coordinator_by: int, peers_by: tuple[int, ...]
) -> None:
    """Python imports a `sitecustomize` first; p2pd keeps its own clock, which it needs for timers alone."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(WRONG_CLOCK)
    path = os.pathsep.join(filter(None, (str(tmp_path / "clock"), os.environ.get("PYTHONPATH"))))

    def start(name: str, program: str, words: str, wrong_by: int) -> Program:
        clock = {"PYTHONPATH": path, "TEST_CLOCK_WRONG_BY": str(wrong_by)}
        log, directory = tmp_path / f"{name}.log", ("--directory", tmp_path / name)
        programs.append(Program(log, program, *words.split(), "--host", "127.0.0.1", *directory, **clock))
        return programs[-1]

    run = "--experiment x --task digits --dht-port 0 --peers 3 --total-steps 5"
    coordinator = start("coordinator", "btard-coordinator", run, coordinator_by)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)
    for number, wrong_by in enumerate(peers_by):
        start(f"peer-{number}", "btard-peer", f"--initial-peers {address} --threads 1", wrong_by)
    for program in programs:
        assert program.process.wait(DEADLINE) == 0, program.log.read_text()[-2000:]
    told = [datetime.fromisoformat(program.log.read_text()[:19]).timestamp() for program in programs]
    for when, wrong_by in zip(told[1:], peers_by, strict=True):
        apart = when - told[0] - (wrong_by - coordinator_by)
        assert -2 < apart < DEADLINE, "the clocks were as wrong as meant"
