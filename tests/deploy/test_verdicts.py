"""Whole swarms with liars in them: what is banned and by what proof, who else suffers, and what strangers can check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btard.cli.roster import Change, history
from btard.deploy.local.plan import HOST, free_port, local_key
from btard.deploy.local.summary import Summary
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import load
from btard.round.proof import verify
from btard.swarm.events.reading import read_log
from tests.deploy.standins import ROOT, environment, eventually

TIMEOUT = 240.0
SEED = 1


def swarm(directory: Path, **settings: object) -> subprocess.Popen[str]:
    """Start a swarm of digits."""
    given = {"task": "digits", "seed": SEED, "directory": directory, **settings}
    words = [str(word) for name, value in given.items() for word in (f"--{name.replace('_', '-')}", *_words(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "btard.cli.main", "swarm", *words],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _words(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.terminate()  # a launcher ends its swarm
            process.communicate(timeout=60)


def to_its_end(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, said
    return said


def summary_of(directory: Path) -> Summary:
    return Summary.model_validate_json((directory / "summary.json").read_text())


def exit_codes(directory: Path) -> dict[str, int]:
    return {file.parent.name: int(file.read_text()) for file in directory.glob("*/exit")}


def events(directory: Path, *names: str) -> list[dict[str, Any]]:
    """Return the events of these names that a peer has logged; the last line may not be whole yet."""
    log = directory / "events.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [event for line in lines if (event := json.loads(line))["event"] in names]


def verdicts_on(*words: str | Path) -> list[dict[str, Any]]:
    """Run `btard verdict` in a process of its own, and return what it says of each file."""
    command = [sys.executable, "-m", "btard.cli.main", "verdict", *map(str, words), "--json"]
    result = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.swarm
@pytest.mark.slow
def test_verdicts_that_anybody_can_check_ban_two_kinds_of_liars(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    attacks = ["SIGN_FLIPPING", "WRONG_AGGREGATE"]
    started.append(swarm(tmp_path, peers=6, byzantine=2, attack=attacks, attack_start=2, validators=1, steps=20))
    to_its_end(started[0])

    summary = summary_of(tmp_path)
    banned = {ban.peer: ban for ban in summary.bans}
    assert banned.keys() == {"peer-4", "peer-5"} and all(2 <= ban.step < 20 for ban in summary.bans)
    assert (banned["peer-4"].reason, banned["peer-5"].reason) == (Offence.GRADIENT, Offence.WRONG_SUM)
    assert (summary.steps, summary.survivors) == (20, 4)
    honest = [f"peer-{number}" for number in range(4)]
    assert exit_codes(tmp_path) == {**dict.fromkeys([*honest, "coordinator"], 0), "peer-4": 3, "peer-5": 3}
    liars = {ban.peer_id for ban in summary.bans}
    for name in (*honest, "coordinator"):
        gone = [entry for entry in history(read_log(tmp_path / name)) if entry.what is not Change.JOINED]
        assert {(entry.what, entry.peer) for entry in gone} == {(Change.BANNED, liar) for liar in liars}
        assert all(entry.evidence is not None and Path(entry.evidence).exists() for entry in gone)

    folders = [tmp_path / name / "bans" for name in ("peer-0", "peer-1", "coordinator")]
    verdicts = verdicts_on(*folders, "--run", tmp_path / "peer-2")
    assert len(verdicts) == 6 and all(verdict["proven"] for verdict in verdicts)
    assert {(verdict["peer"], verdict["step"]) for verdict in verdicts} == {(b.peer_id, b.step) for b in summary.bans}


@pytest.mark.slow
@pytest.mark.swarm
def test_auditors_ban_wrong_owners_in_a_real_swarm(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    rule = "trimmed_mean:share=0.4"
    started.append(
        swarm(tmp_path, peers=5, byzantine=2, attack=["SELF_COVER"], attack_start=2, rule=rule, validators=0, steps=6)
    )
    to_its_end(started[0])

    summary = summary_of(tmp_path)
    assert summary.rule == rule and (summary.steps, summary.survivors) == (6, 3)
    assert {ban.peer: ban.step for ban in summary.bans} == {"peer-3": 2, "peer-4": 2}
    assert {ban.reason for ban in summary.bans} <= {Offence.WRONG_AGGREGATE, Offence.MALFORMED}
    told = verdicts_on(tmp_path / "peer-0" / "bans")
    assert len(told) == 2 and all(found["proven"] for found in told)


@pytest.mark.slow
@pytest.mark.swarm
def test_the_published_lottery_bans_too(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    started.append(swarm(tmp_path, peers=3, byzantine=1, attack_start=2, check_proba=1.0, validators=0, steps=8))
    to_its_end(started[0])
    (ban,) = summary_of(tmp_path).bans
    assert (ban.peer, ban.step) == ("peer-2", 2), "it attacks once, and the lottery catches it at once"
    assert exit_codes(tmp_path) == {"coordinator": 0, "peer-0": 0, "peer-1": 0, "peer-2": 3}
    verdicts = verdicts_on(*(tmp_path / name / "bans" for name in ("peer-0", "coordinator")))
    assert {(v["peer"], v["offence"], v["proven"]) for v in verdicts} == {(ban.peer_id, "LOTTERY", True)}
    assert len(verdicts) == 2


@pytest.mark.slow
@pytest.mark.swarm
def test_a_killed_peer_comes_back_and_counts_after_probation(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    port, probation, attack_start = free_port(), 3, 12
    deadlines = {"commit_timeout": 5, "exchange_timeout": 5, "agree_timeout": 3, "settle_timeout": 1.5}
    attack = {"byzantine": 1, "attack": "WRONG_AGGREGATE", "attack_start": attack_start, "validators": 0}
    # Five, so that those that are left after a death and a ban are most of the first roster: it can be followed.
    launcher = swarm(tmp_path, peers=5, port=port, steps=100_000, probation=probation, **attack, **deadlines)
    started.append(launcher)
    here, killed, liar = tmp_path / "peer-0", tmp_path / "peer-1", tmp_path / "peer-4"

    def waits(condition: Any, what: str) -> None:
        eventually(lambda: condition() or any(p.poll() is not None for p in started), what, within=TIMEOUT)
        assert launcher.poll() is None, launcher.communicate()[0]
        assert all(process.poll() is None for process in started), (tmp_path / "again.txt").read_text()

    waits(lambda: len(events(killed, "step")) > 3, "the first steps")
    os.kill(int((killed / "pid").read_text()), signal.SIGKILL)
    waits(lambda: events(here, "banned"), "the ban of the liar")
    (ban,) = events(here, "banned")
    assert events(killed, "step")[-1]["step"] < attack_start <= ban["step"], "the killed peer has seen nothing of it"
    waits(lambda: (liar / "exit").exists(), "the end of the liar")
    assert (liar / "exit").read_text() == "3\n" and (killed / "exit").read_text() == "-9\n"

    me, coordinator = local_key(SEED, killed.name).peer_id, local_key(SEED, "coordinator").peer_id
    words = ["--initial-peers", f"/ip4/{HOST}/tcp/{port}/p2p/{coordinator}", "--host", HOST, "--directory", str(killed)]
    with (tmp_path / "again.txt").open("w") as log:
        again = subprocess.Popen(
            [sys.executable, "-m", "btard.cli.peer", *words, "--device", "cpu", "--threads", "1"],
            env=environment(),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    started.insert(0, again)
    waits(lambda: len(events(killed, "joined")) == 2, "the way back in")
    joined = events(killed, "joined")[-1]
    (admitted,) = [event for event in events(here, "admitted") if event["step"] == joined["step"]]
    assert admitted["peer"] == str(me)
    assert admitted["probation"] == admitted["step"] + probation
    waits(lambda: events(here, "step")[-1]["step"] > admitted["probation"] + 1, "the end of the probation")
    waits(lambda: events(killed, "step")[-1]["step"] > admitted["probation"] + 1, "the peer's own steps")

    seen = {event["step"]: (event["members"], event["newcomers"]) for event in events(here, "step")}
    for step in range(admitted["step"], admitted["probation"] + 2):
        assert seen[step] == (4, 1 if step < admitted["probation"] else 0), step
    (verified,) = events(killed, "banned")
    assert (verified["peer"], verified["step"]) == (ban["peer"], ban["step"])
    (evidence,) = (killed / "bans").iterdir()
    assert Path(verified["evidence"]) == evidence and verify(load(evidence))
    said = (tmp_path / "again.txt").read_text()
    assert "verified: " in said and "took over the training state" in said and "Traceback" not in said

    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 130
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=60)
    assert launcher.returncode == 130
