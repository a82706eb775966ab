"""Local facts come first: what is known without torch, a process or a network is told before these are waited for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.startup import SCRIPTS
from tests.mutants.plugin import PLANTED

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "hivemind", "transformers", "datasets", "uvloop", "matplotlib")

ASK_ALL = """
import contextlib, importlib, io, json, sys
import tests.mutants.plugin

scripts, heavy, asked = json.loads(sys.argv[1])
for words in asked:
    sys.argv = words
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = importlib.import_module(scripts[words[0]]).main()
    print(json.dumps([code, said.getvalue(), sorted(sys.modules.keys() & set(heavy))]))
"""


def answers(folder: Path, asked: list[list[str]]) -> list[tuple[int, str, list[str]]]:
    """Run programs one after the other in one process; return exit code, sentence, and what heavy is imported."""
    planted = {"PYTHONPATH": str(ROOT)} | ({} if PLANTED is None else {"TEST_MUTANT": PLANTED})
    words = json.dumps([SCRIPTS, HEAVY, asked])
    said = subprocess.check_output(
        [sys.executable, "-c", ASK_ALL, words], text=True, env=os.environ | planted, cwd=folder, timeout=120
    )
    return [tuple(json.loads(line)) for line in said.splitlines()]


@pytest.fixture
def busy() -> Iterator[str]:
    """A port of loopback that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


def refused(program: str, rows: str, folder: Path) -> None:
    """Run each row's words behind the program's; it must refuse them in the row's words, and import nothing heavy."""
    asked = [row.split(" => ") for row in rows.strip().splitlines()]
    found = answers(folder, [[*program.split(), *words.split()] for words, _ in asked])
    for (words, sentence), (code, said, heavy) in zip(asked, found, strict=True):
        assert (code, heavy) == (2, []), (words, said)
        assert sentence in said, words
        assert said.count("\n") == 1, words
    assert sorted(path.name for path in folder.iterdir()) == ["file", "folder", "gone", "pipe", "token"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place with a file, a folder, a token that is too short, a link to nothing and a pipe."""
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "token").write_text("short")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_a_coordinator_looks_before_it_begins(folder: Path, busy: str) -> None:
    rows = f"""
        --warmup-steps 500 --total-steps 100 => warm-up of 500 steps must be shorter than the run of 100 steps
        --initial-state nowhere => there is no checkpoint in nowhere
        --initial-state folder => there is no checkpoint in folder
        --dashboard :0 --dashboard-token-file nowhere => --dashboard-token-file nowhere cannot be read
        --dashboard :0 --dashboard-token-file token => --dashboard-token-file token must hold 16 to 128 letters
        --metrics :0 --metrics-token-file nowhere => --metrics-token-file nowhere cannot be read
        --dashboard :{busy} => port {busy} is in use
        --dht-port {busy} => --dht-port cannot listen on 127.0.0.1:{busy}
        --dht-port 8099 --dashboard :8099 => --dht-port and --dashboard both name port 8099
        --metrics :8099 --dashboard :8099 => --dashboard and --metrics both name port 8099
        --host example.org => --host is 'example.org', but must be an IP address
        --host 192.0.2.7 => 192.0.2.7 is no address of this machine
        --announce two,words! => --announce is 'words!'
        --announce 203.0.113.5 --dht-port 0 => --announce needs a full multiaddress
        --task chess => there is no task 'chess'
        --task gpt:width=3 => the task gpt has no setting 'width'
        --size huge => the task gpt has no size 'huge'
        --data nowhere => the data source 'nowhere' is neither
        --tokenizer nowhere => there is no tokenizer at nowhere
        --cache-dir file => --cache-dir is file, but must be a folder
        --tolerance nowhere => cannot read nowhere
        --tolerance file => file is no tolerance file
        --checkpoint-at published 101 --total-steps 100 => --checkpoint-at 101 is beyond the end of a run of 100 steps
        --directory gone => /gone is no directory; give a writable --directory
        --cache-dir gone => --cache-dir is gone, but must be a folder, or a place for a new one
        --data gone => gone is a link to nothing
        --data pipe => pipe is no ordinary file
        --members nowhere => --members nowhere cannot be read: No such file or directory
        --members folder => --members folder cannot be read: Is a directory
        --members file => --members file, line 1: '{{}}' is no peer id
        --directory file => --directory is file, but
    """
    refused("btard-coordinator --experiment x --host 127.0.0.1 --directory run", rows, folder)


def test_a_peer_looks_before_it_begins(folder: Path, busy: str) -> None:
    rows = f"""
        --device cuda => --device is cuda, but this machine has no CUDA device
        --data nowhere => the data source 'nowhere' is neither
        --tokenizer nowhere => there is no tokenizer at nowhere
        --cache-dir file => --cache-dir is file, but must be a folder
        --attack-type SIGN_FLIPPNG => perhaps SIGN_FLIPPING was meant
        --attack-directory file/below => ATTACK_DIRECTORY is file/below, but
        --collude-at file => COLLUDE_AT is file, but
        --metrics :{busy} => port {busy} is in use
        --metrics :0 --metrics-token-file nowhere => --metrics-token-file nowhere cannot be read
        --port {busy} => --port cannot listen on 127.0.0.1:{busy}
        --port 8099 --metrics :8099 => --port and --metrics both name port 8099
        --host example.org => --host is 'example.org', but must be an IP address
        --announce 203.0.113.5 => --announce needs a full multiaddress, or a port to listen on that is known
        --announce two,words! --port 9 => --announce is 'words!', but must be an IP address, a DNS name or
        --initial-peers coordinator => --initial-peers is 'coordinator', but must be an address: write host:port
        --initial-peers host:70000 => --initial-peers is 'host:70000', but must be an address
        --initial-peers /ip4/203.0.113.5/tcp/1 => is '/ip4/203.0.113.5/tcp/1', but must be an address
        --directory file => cannot write into file
        --initial-peers a..b:31337 => --initial-peers is 'a..b:31337', but must name a machine
    """
    if Path("/dev/nvidia0").exists():
        rows = "\n".join(row for row in rows.splitlines() if "cuda" not in row)
    refused("btard-peer --initial-peers 127.0.0.1:9 --host 127.0.0.1 --directory run", rows, folder)


def test_a_swarm_looks_before_it_starts_anything(folder: Path, busy: str) -> None:
    rows = f"""
        --warmup-steps 500 --steps 100 => warm-up of 500 steps must be shorter than the run of 100 steps
        --checkpoint-at published 101 --steps 100 => --checkpoint-at 101 is beyond the end of a run of 100 steps
        --initial-state nowhere => there is no checkpoint in nowhere
        --dashboard :0 --dashboard-token-file nowhere => --dashboard-token-file nowhere cannot be read
        --dashboard :{busy} => port {busy} is in use
        --port {busy} => --port cannot listen on 127.0.0.1:{busy}
        --port 8099 --dashboard :8099 => --port and --dashboard both name port 8099
        --task gpt:width=3 => the task gpt has no setting 'width'
        --size huge => the task gpt has no size 'huge'
        --attack NOPE => --attack is 'NOPE', but must be one of those installed
        --members nowhere => --members nowhere cannot be read: No such file or directory
        --members file => --members file, line 1: '{{}}' is no peer id
        --directory file/below => file/below: Not a directory
    """
    refused("btard swarm --directory run", rows, folder)


def test_other_commands_look_before_they_begin(folder: Path) -> None:
    rows = """
        simulate --attack NOPE => --attack is 'NOPE', but must be one of those installed
        simulate --output file => --output is file, but
        lab run --output file => --output is file, but
        lab run --task chess => there is no task 'chess'
        lab run --attackers 2 => --attackers is 2, but no --attack says what they do
        calibrate --device cuda => --device is cuda, but this machine has no CUDA device
        calibrate --output nowhere/x => --output is nowhere/x, but must be a file in a folder that exists
        calibrate --data nowhere => the data source 'nowhere' is neither
        calibrate --size huge => the task gpt has no size 'huge'
        data prepare --size huge => the task gpt has no size 'huge'
        data prepare --data nowhere => the data source 'nowhere' is neither
        data prepare --tokenizer nowhere => there is no tokenizer at nowhere
        data prepare --cache-dir file => --cache-dir is file, but must be a folder
        status --initial-peers nonsense => --initial-peers is 'nonsense', but must be an address
        doctor --initial-peers nonsense => --initial-peers is 'nonsense', but must be an address
        verdict nowhere => cannot read nowhere: No such file or directory
        roster nowhere => cannot read nowhere/events.jsonl
        replay folder => folder holds no run of a coordinator
        key show nowhere => cannot use the key file nowhere
    """
    if Path("/dev/nvidia0").exists():
        rows = "\n".join(row for row in rows.splitlines() if "cuda" not in row)
    refused("btard", rows, folder)
