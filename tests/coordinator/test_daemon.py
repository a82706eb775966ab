"""The program itself: a real process on loopback that welcomes a node and leaves nothing behind, and bad inputs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from btard.cli import coordinator as program
from btard.coordinator.daemon import run
from btard.errors import UserError
from btard.identity import PeerId
from btard.peer.meeting.joining import find_manifest
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.rosters import Rosters
from btard.round.roster import Roster
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import Libp2pNode, resolve_initial_peer
from btard.transport.libp2p.discover import split_maddr

QUICK = ["--experiment", "test", "--task", "digits", "--host", "127.0.0.1", "--dht-port", "0"]
DEADLINE = 120.0


def main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The console script in this process."""
    monkeypatch.setattr(sys, "argv", ["btard-coordinator", *words])
    return program.main()


@pytest.mark.swarm
async def test_a_node_is_welcomed_and_the_end_is_clean(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    words = [*QUICK, "--peers", "1", "--total-steps", "20", "--directory", str(directory)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "btard.cli.coordinator",
        *words,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    node: Libp2pNode | None = None
    try:
        async with asyncio.timeout(DEADLINE):
            assert process.stderr is not None
            said = ""
            while (found := re.search(r"btard-peer --initial-peers (\S+)", said)) is None:
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
            children = psutil.Process(process.pid).children(recursive=True)
            assert [child.name() for child in children] == ["p2pd"]
            sockets = [tmp_path / name for name in os.listdir(tmp_path) if name.startswith("btard-p2pd-")]  # noqa: PTH208
            assert sockets

            maddrs = await resolve_initial_peer(found[1])
            node = await Libp2pNode.create(tmp_path / "peer.key", maddrs)
            roster, over = await wait_for_genesis(node, split_maddr(maddrs[0])[0])
        assert (roster.step, roster.members, over) == (0, (node.peer_id,), False)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            _, rest = await process.communicate()
        if node is not None:
            await node.close()
    assert process.returncode == 130, said + rest.decode()
    assert "Traceback" not in said + rest.decode()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not any(path.exists() for path in sockets)
    events = [json.loads(line)["event"] for line in (directory / "events.jsonl").read_text().splitlines()]
    # That one peer is validated by nobody may be told before the end, or not.
    assert [event for event in events if event != "unvalidated"] == ["started", "welcomed", "genesis", "stopped"]
    assert (directory / "config.yaml").exists()


async def wait_for_genesis(node: Libp2pNode, named: PeerId) -> tuple[Roster, bool]:
    """Join as a peer does, and return the first roster, and whether the run is over."""
    signed, manifest = await find_manifest(node.transport, {named}, DEADLINE)
    assert (signed.author, manifest.experiment, manifest.peers) == (named, "test", 1)

    async def answer(peer: PeerId, request: bytes) -> bytes | None:
        return signed.encode() if Question.decode(request).want is Want.MANIFEST else None

    node.transport.serve_with(answer)
    knocker = Knocker(node.transport, manifest, node.maddrs)
    knocker.knock_at([named])
    knocking = asyncio.ensure_future(knocker.run())
    try:
        return await Rosters(node.records, node.transport, named, manifest.run, [named]).wait_for_first(manifest.peers)
    finally:
        knocking.cancel()
        await asyncio.gather(knocking, return_exceptions=True)


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--dht-port", "--initial-state", "--checkpoint-at", "--tau", "--wandb"):
        assert flag in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--experiment is missing"),
        ([*QUICK, "--task", "chess"], "there is no task 'chess'"),
        ([*QUICK, "--host", "nowhere"], "--host is 'nowhere'"),
        ([*QUICK, "--data", "builtin", "--tokenizer", "x"], "there is no tokenizer at x"),
        ([*QUICK, "--initial-state", "/nonexistent"], "there is no checkpoint in /nonexistent"),
        ([*QUICK, "--peer", "3"], "there is no flag --peer; perhaps --peers was meant"),
        (
            [*QUICK, "--metrics", "0.0.0.0:0"],
            "metrics at 0.0.0.0:0 can be read by other machines and need --metrics-token",
        ),
        ([*QUICK, "--metrics", "192.0.2.1:1"], "metrics at 192.0.2.1:1 can be read by other machines"),
        (
            [*QUICK, "--metrics", ":0", "--metrics-token-file", "/nonexistent"],
            "--metrics-token-file /nonexistent cannot",
        ),
        ([*QUICK, "--log-format", "xml"], "--log-format is 'xml', but must be one of text, json"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *words) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.lower().startswith(f"btard-coordinator: {sentence}".lower())


def test_an_empty_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("")
    words = ["--experiment", "x", "--data", str(tmp_path / "empty.txt"), "--cache-dir", str(tmp_path / "cache")]
    assert main(monkeypatch, *words, "--directory", str(tmp_path / "run")) == 2
    assert "empty" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writable --directory"):
        run([*QUICK, "--directory", str(tmp_path / "file" / "run")])


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--dht-port cannot listen on 127.0.0.1:{port}: port {port} is in use"):
            run([*QUICK, "--dht-port", str(port), "--directory", str(tmp_path / "run")])
