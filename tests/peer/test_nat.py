"""Real peers in network namespaces: two behind NATs of their own are members as all others, and hardly slower."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from btard.deploy.local.plan import local_key
from tests.namespaces import Network, why_not

PEERS = tuple(f"p{number}" for number in range(6))
HIDDEN = ("p4", "p5")
PORT = 31337
STEPS = 30
PATIENCE_SECONDS = 300.0
REASON = why_not()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


class Run:
    """A coordinator and six peers, each on a machine of its own."""

    def __init__(self, directory: Path, network: Network) -> None:
        self._directory = directory
        self._network = network
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, program: str, *words: str) -> None:
        """Start a program on a machine, with the key of its name."""
        home = self._directory / name
        home.mkdir()
        local_key(1, name).save(home / "identity.key")
        code = f"import sys; from btard.program import guarded; from btard.{program}.daemon import run; "
        code += f"sys.exit(guarded('{name}', lambda: run(sys.argv[1:])))"
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", code, "--directory", str(home), "--host", "0.0.0.0", *words],
                    stdout=log,
                    stderr=log,
                    preexec_fn=self._network.inside(name),
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
            )

    def events(self, name: str, event: str) -> list[dict[str, object]]:
        """What a peer has told of one kind."""
        path = self._directory / name / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [told for line in lines if line.endswith("}") and (told := json.loads(line))["event"] == event]

    def log(self, name: str) -> str:
        """What a program has printed."""
        return (self._directory / f"{name}.log").read_text()

    def until_done(self) -> None:
        """Wait until all peers have finished their steps."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(len(self.events(peer, "step")) < STEPS for peer in PEERS):
            assert time.monotonic() < deadline, {peer: self.log(peer)[-300:] for peer in PEERS}
            assert all(process.poll() in (None, 0) for process in self._processes), self.log("c")
            time.sleep(0.2)

    def end(self) -> None:
        """End all programs that were started here."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running(directory: Path, hidden: Collection[str], *words: str) -> Iterator[Run]:
    """Inside, all peers have done their steps; the hidden ones were given `words`, too."""
    directory.mkdir()
    with Network(["c", *PEERS], behind_nat=hidden) as network:
        run = Run(directory, network)
        try:
            rules = ["--task", "digits", "--size", "tiny", "--batch-size", "8", "--validators", "1", "--seed", "1"]
            rules += ["--peers", str(len(PEERS)), "--total-steps", str(STEPS), "--settle-timeout", "1"]
            run.start("c", "coordinator", "--experiment", "nat", "--dht-port", str(PORT), *rules)
            for peer in PEERS:
                more = words if peer in hidden else ()
                run.start(peer, "peer", "--initial-peers", f"{network.address['c']}:{PORT}", "--device", "cpu", *more)
            run.until_done()
            yield run
        finally:
            run.end()


def step_seconds(run: Run) -> float:
    """The median of the steps that a peer has measured, but for the first ones."""
    return statistics.median(float(str(step["seconds"])) for step in run.events("p0", "step")[5:])


def test_two_behind_nats_do_not_slow_a_step_of_six(tmp_path: Path) -> None:
    with running(tmp_path / "open", ()) as run:
        usual = step_seconds(run)
        assert not any("relay" in run.log(peer) for peer in PEERS)
    with running(tmp_path / "hidden", HIDDEN) as run:
        slowed = step_seconds(run)
        assert all(step["members"] == len(PEERS) for step in run.events("p0", "step"))
        for peer in HIDDEN:
            assert run.log(peer).count("can only be reached over a relay") == 1
    assert slowed < 1.5 * usual, f"{slowed:.3f} s a step, and {usual:.3f} s without NATs"


def test_clients_behind_nats_take_part(tmp_path: Path) -> None:
    with running(tmp_path / "clients", HIDDEN, "--client-mode") as run:
        assert all(step["members"] == len(PEERS) for step in run.events("p0", "step"))
        ids = {str(local_key(1, peer).peer_id) for peer in HIDDEN}
        for peer in HIDDEN:
            assert "it owns no part, validates nothing and has no vote" in run.log(peer)
        validated = {step["validates"] for peer in PEERS for step in run.events(peer, "step")} - {None}
        assert ids & validated, "clients are audited"
        assert not any(step["validates"] for peer in HIDDEN for step in run.events(peer, "step")), "and audit nobody"
