"""Real peers in network namespaces, some of them behind NATs of their own.

    python -m tests.peer.behind_nats

prints how long a step of six takes without NATs, and with two behind them, in turn, and the ratio of the medians.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from btard.deploy.local.plan import local_key
from tests.namespaces import Network, why_not

PEERS = tuple(f"p{number}" for number in range(6))
HIDDEN = ("p4", "p5")
PORT = 31337
STEPS = 30
PATIENCE_SECONDS = 300.0


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


def main() -> int:
    """Compare the two, three times in turn."""
    reason = why_not()
    if reason is not None:
        print(f"cannot be measured here: {reason}", file=sys.stderr)
        return 2
    medians: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(3):
            for nats in (False, True):
                with running(Path(folder) / f"{turn}-{nats}", HIDDEN if nats else ()) as run:
                    medians[nats].append(step_seconds(run))
                    print(f"{'two behind NATs' if nats else 'no NAT'}: {medians[nats][-1]:.3f} s a step", flush=True)
    usual, slowed = (statistics.median(medians[nats]) for nats in (False, True))
    print(f"ratio of the medians {slowed / usual:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
