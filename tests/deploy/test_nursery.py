"""The nursery: starts programs, tells how they end, and takes all of them with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from btard.deploy.local.messages import Ended, EndWave, Start, Started, Wave
from btard.deploy.local.nursery_client import NurseryClient, last_lines
from btard.errors import UserError
from tests.deploy.standins import HERE, ROOT, environment, eventually, gone

GRACE = 1.0


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[NurseryClient]:
    with NurseryClient(["json:dumps"], environment(), tmp_path / "nursery.log", grace_seconds=GRACE) as client:
        client.wait_ready()
        yield client


def start(tmp_path: Path, function: str, *words: str, name: str = "it", wave: Wave = Wave.PEERS) -> Start:
    return Start(
        name=name,
        target=f"{HERE}:{function}",
        argv=list(words),
        environment={"COLOUR": "blue"},
        log=str(tmp_path / f"{name}.log"),
        wave=wave,
    )


def end_of(nursery: NurseryClient) -> Ended:
    found: list[Ended] = []
    eventually(lambda: found.extend(r for r in nursery.reports(1.0) if isinstance(r, Ended)) or found, "an end")
    return found[0]


def pid_of(nursery: NurseryClient) -> int:
    found: list[Started] = []
    eventually(lambda: found.extend(r for r in nursery.reports(1.0) if isinstance(r, Started)) or found, "a start")
    return found[0].pid


@pytest.mark.parametrize(
    ("function", "words", "code", "said"),
    [
        ("leave_with", ["0"], 0, "said 0 blue"),
        ("leave_with", ["3"], 3, "complained"),
        ("complain", [], 2, "it: this is nonsense"),
        ("crash", [], 1, "ZeroDivisionError: a bug"),
        ("no_such_function", [], 1, "AttributeError"),
    ],
)
def test_a_programs_end_is_reported_and_its_words_are_logged(
    nursery: NurseryClient, tmp_path: Path, function: str, words: list[str], code: int, said: str
) -> None:
    nursery.start(start(tmp_path, function, *words))
    assert end_of(nursery).code == code
    assert said in (tmp_path / "it.log").read_text()


def test_a_killed_program_is_reported_with_its_signal(nursery: NurseryClient, tmp_path: Path) -> None:
    nursery.start(start(tmp_path, "wait", str(tmp_path / "word")))
    os.kill(pid_of(nursery), signal.SIGKILL)
    assert end_of(nursery).code == -signal.SIGKILL


def test_a_program_is_killed_only_when_it_ignores_the_request(nursery: NurseryClient, tmp_path: Path) -> None:
    nursery.start(start(tmp_path, "wait", str(tmp_path / "word"), name="polite"))
    eventually(lambda: last_lines(tmp_path / "polite.log"), "the program's first word")
    nursery.end(EndWave(wave=Wave.PEERS))
    assert end_of(nursery).code == 130
    assert (tmp_path / "word").read_text() == "polite"

    nursery.start(start(tmp_path, "hang", name="rude"))
    eventually(lambda: last_lines(tmp_path / "rude.log"), "the program's first word")
    child = int(last_lines(tmp_path / "rude.log").split()[1])
    nursery.end(EndWave(wave=Wave.PEERS))
    assert end_of(nursery).code == -signal.SIGKILL
    eventually(lambda: gone(child), "the end of its child")


def test_closing_ends_the_peers_before_the_coordinator(tmp_path: Path) -> None:
    with NurseryClient([], environment(), tmp_path / "nursery.log", grace_seconds=GRACE) as nursery:
        nursery.wait_ready()
        nursery.start(start(tmp_path, "wait", str(tmp_path / "a"), name="first", wave=Wave.COORDINATOR))
        for name in ("one", "two"):
            nursery.start(start(tmp_path, "wait", str(tmp_path / name), name=name))
        for name in ("first", "one", "two"):
            eventually(lambda name=name: last_lines(tmp_path / f"{name}.log"), "the program's first word")
        ended = nursery.close()
    assert [report.name for report in ended][2:] == ["first"]
    assert {report.code for report in ended} == {130}
    assert gone(nursery.pid)


def test_a_dead_nursery_takes_its_programs_along_and_is_told(nursery: NurseryClient, tmp_path: Path) -> None:
    nursery.start(start(tmp_path, "hang"))
    pid = pid_of(nursery)
    eventually(lambda: last_lines(tmp_path / "it.log"), "the program's first word")
    os.kill(nursery.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="nursery of the swarm ended with code -9"):
        end_of(nursery)
    eventually(lambda: gone(pid), "the program's end")
    os.kill(int(last_lines(tmp_path / "it.log").split()[1]), signal.SIGKILL)


@pytest.mark.parametrize(("preload", "code"), [(f"{HERE}:Late", 0), (f"{HERE}:find_imported", 3)])
def test_what_a_task_imports_late_is_imported_once(tmp_path: Path, preload: str, code: int) -> None:
    with NurseryClient([preload], environment(), tmp_path / "nursery.log", grace_seconds=GRACE) as nursery:
        nursery.wait_ready()
        nursery.start(start(tmp_path, "find_imported", "wave"))
        assert end_of(nursery).code == code


def test_what_cannot_be_imported_is_told(tmp_path: Path) -> None:
    with (
        NurseryClient(["no_such_module"], environment(), tmp_path / "nursery.log", grace_seconds=GRACE) as nursery,
        pytest.raises(UserError, match="No module named 'no_such_module'"),
    ):
        nursery.wait_ready()


LAUNCHER = f"""
import sys
from pathlib import Path
from btard.deploy.local.messages import Start, Started
from btard.deploy.local.nursery_client import NurseryClient
from tests.deploy.standins import environment
folder = Path(sys.argv[1])
with NurseryClient([], environment(), folder / "nursery.log", grace_seconds=1.0) as nursery:
    nursery.wait_ready()
    for name in ("wait", "hang"):
        nursery.start(Start(name=name, target="{HERE}:" + name, argv=[str(folder / "word")], log=str(folder / name)))
    pids = [nursery.pid]
    while len(pids) < 3:
        pids += [report.pid for report in nursery.reports(1.0) if isinstance(report, Started)]
    print(*pids, flush=True)
    sys.stdin.read()
"""


def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    assert launcher.stdin is not None and launcher.stdout is not None
    pids = [int(word) for word in launcher.stdout.readline().split()]
    for name in ("wait", "hang"):
        eventually(lambda name=name: (tmp_path / name).exists() and last_lines(tmp_path / name), "a first word")
    pids.append(int(last_lines(tmp_path / "hang").split()[1]))
    assert len(pids) == 4 and not any(gone(pid) for pid in pids)
    launcher.kill()
    launcher.wait()
    for pid in pids:
        eventually(lambda pid=pid: gone(pid), f"the end of process {pid}")
    assert (tmp_path / "word").read_text() == "polite"
    launcher.stdin.close()
    launcher.stdout.close()
