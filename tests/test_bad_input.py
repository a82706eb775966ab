"""Bad input to the programs, as a user gives it: one sentence, exit code 2, and nothing lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
TIMEOUT = 120.0


def run(*words: str | Path, **environment: str) -> str:
    """Run a program that must refuse its input; return its last line."""
    result = subprocess.run(
        [BIN / str(words[0]), *map(str, words[1:])],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(str(words[0]).split()[0] + ": ")
    return last


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer(directory: Path, *words: str | Path, **environment: str) -> str:
    return run("btard-peer", "--directory", directory, "--join-timeout", "0.5", *words, **environment)


@pytest.mark.parametrize("address", ["coordinator", "127.0.0.1:0", "127.0.0.1:99999", "/ip4/127.0.0.1/tcp/1", "[::1]"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    sentence = peer(tmp_path, "--initial-peers", address)
    assert address in sentence and "write" in sentence


def test_a_coordinator_that_is_dead(tmp_path: Path, free_port: int) -> None:
    sentence = peer(tmp_path, "--initial-peers", f"127.0.0.1:{free_port}")
    assert "refuses the connection" in sentence and "is a coordinator running there?" in sentence


def test_no_address_at_all(tmp_path: Path) -> None:
    assert "--initial-peers" in peer(tmp_path)


def test_a_port_in_use(tmp_path: Path, busy_port: int) -> None:
    words = ["--experiment", "x", "--host", "127.0.0.1", "--dht-port", str(busy_port), "--task", "digits"]
    sentence = run("btard-coordinator", *words, "--directory", tmp_path)
    assert str(busy_port) in sentence and "in use" in sentence


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    assert "--directory" in peer(blocked / "below", "--initial-peers", "127.0.0.1:1")


def test_a_key_file_with_loose_permissions(tmp_path: Path) -> None:
    key = tmp_path / "identity.key"
    key.write_bytes(b"secret")
    key.chmod(0o644)
    sentence = peer(tmp_path, "--initial-peers", "127.0.0.1:1")
    assert "mode 644" in sentence and f"chmod 600 {key}" in sentence
    assert key.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ATTACK_START", "soon", "must be a whole number of steps"),
        ("ATTACK_TYPE", "SIGN_FLIPPNG", "SIGN_FLIPPING"),
        ("BTARD_DIRECTORIES", "x", "no such environment variable"),
    ],
)
def test_a_variable_that_makes_no_sense(tmp_path: Path, variable: str, value: str, words: str) -> None:
    sentence = peer(tmp_path, "--initial-peers", "127.0.0.1:1", **{variable: value})
    assert variable in sentence and words in sentence


def test_two_names_of_tau_that_contradict(tmp_path: Path) -> None:
    sentence = peer(tmp_path, "--initial-peers", "127.0.0.1:1", HIVEMIND_TAU="1", CCLIP_TAU="0.5")
    assert "HIVEMIND_TAU" in sentence and "CCLIP_TAU" in sentence


def test_a_truncated_checkpoint(tmp_path: Path) -> None:
    from btard.tasks.registry import load_task
    from btard.tasks.training_state import TrainingState

    folder = tmp_path / "checkpoint"
    TrainingState(load_task("digits", "tiny"), 0).save_checkpoint(folder, 5)
    (state,) = folder.glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-100])
    words = ["--experiment", "x", "--task", "digits", "--initial-state", folder, "--dht-port", "0"]
    sentence = run("btard-coordinator", *words, "--directory", tmp_path / "run")
    assert "damaged" in sentence and state.exists()


def test_a_corpus_of_no_documents(tmp_path: Path) -> None:
    empty = tmp_path / "corpus"
    empty.mkdir()
    words = ["--task", "gpt", "--size", "tiny", "--data", empty, "--cache-dir", tmp_path / "cache"]
    assert str(empty) in run("btard", "data", "prepare", *words)


def test_a_command_that_does_not_exist() -> None:
    assert "swarm" in run("btard", "swarn")
