"""Real swarms that are killed, without a word, and started again in place: they go on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from btard.deploy.local.plan import free_port, local_key
from tests.peer.test_daemon import Program, events, kill_all, steps, until

STEPS = 150
NAMES = tuple("abcde")
NONCE = "5a" * 16
WORDS = (
    f"--experiment test --task digits --size tiny --host 127.0.0.1 --peers {len(NAMES)} --total-steps {STEPS} "
    f"--seed 7 --nonce {NONCE} --refresh-period 0.5 --same-randomness --validators 1"
)


class Swarm:
    """A coordinator and its peers, each in its folder, under keys that are the same in each swarm.

    Attributes:
        words: further ones for peers.
        attacks: how some of them lie.
    """

    def __init__(self, folder: Path, *words: str, attacks: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.folder = folder
        self.words = words
        self.attacks = attacks or {}
        self.port = free_port()
        self.started: list[Program] = []
        self.running: dict[str, Program] = {}
        for name in ("coordinator", *NAMES):
            (folder / name).mkdir(parents=True)
            local_key(7, name).save(folder / name / "identity.key")

    def start(self, names: Iterable[str]) -> None:
        """Start programs, each with the words that it had before."""
        for name in names:
            if name == "coordinator":
                words = ("btard-coordinator", "--dht-port", str(self.port), *WORDS.split())
            else:
                address = f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{local_key(7, 'coordinator').peer_id}"
                words = ("btard-peer", "--initial-peers", address, "--host", "127.0.0.1", "--threads", "1", *self.words)
            log = self.folder / f"{name}-{len(self.started)}.log"
            program = self.running[name] = Program(
                log, *words, "--directory", self.folder / name, **self.attacks.get(name, {})
            )
            self.started.append(program)
            if name == "coordinator":
                until(partial(_listens, program), program)

    def kill(self, names: Iterable[str]) -> None:
        """Kill programs as a power cut does; what p2pd they leave dies by itself."""
        for name in names:
            program = self.running.pop(name)
            program.process.send_signal(signal.SIGKILL)
            program.process.wait()

    def wait_for(self, step: int) -> None:
        """Wait until all peers have finished a step."""
        until(lambda: all(self.newest(name) >= step for name in NAMES), *self.running.values())

    def newest(self, name: str) -> int:
        """Return the last step that a peer has finished."""
        return max((event["step"] for event in steps(self.folder / name)), default=-1)

    def end(self) -> str:
        """Wait until the run is over, and return the digest of the last state."""
        assert self.running["coordinator"].process.wait(240) == 0
        folder = self.folder / "coordinator" / "checkpoints" / f"step-{STEPS:06d}"
        digest: str = json.loads((folder / "checkpoint.json").read_text())["state_digest"]
        return digest

    def logs(self) -> str:
        """Return all that all programs have said."""
        return "".join(program.log.read_text() for program in self.started)


def _listens(coordinator: Program) -> bool:
    return "join with" in coordinator.log.read_text()


@pytest.fixture
def swarms(tmp_path: Path) -> Iterator[tuple[Swarm, Swarm]]:
    made = Swarm(tmp_path / "killed"), Swarm(tmp_path / "unbroken")
    yield made
    kill_all(program for swarm in made for program in reversed(swarm.started))
    for program in (*made[0].started, *made[1].started):  # pytest shows it where the test has failed
        print(f"--- the end of {program.log}\n{program.log.read_text()[-3000:]}")


@pytest.mark.slow
@pytest.mark.swarm
def test_a_swarm_that_was_killed_twice_comes_to_the_same(swarms: tuple[Swarm, Swarm]) -> None:
    killed, unbroken = swarms
    killed.start(("coordinator", *NAMES))
    killed.wait_for(20)
    killed.kill("cde")
    killed.start("cde")
    killed.wait_for(max(map(killed.newest, NAMES)) + 15)
    killed.kill(("coordinator", *NAMES))
    newest = max(map(killed.newest, NAMES))
    assert newest < STEPS - 1
    killed.start(("coordinator", *NAMES))
    digest = killed.end()
    assert "Traceback" not in killed.logs()
    assert killed.logs().count("incarnation 2; audits look back at the step before") >= 3, "most have what it takes"
    done = [name for name in NAMES if killed.newest(name) == STEPS - 1]
    assert 2 * len(done) > len(NAMES)
    if any(event["event"] == "void" for name in NAMES for event in events(killed.folder / name)):
        return  # one was late, as on a busy machine: the bytes are others then, and it may still be out
    for name in NAMES:
        lives = [event["incarnation"] for event in events(killed.folder / name) if event["event"] == "joined"]
        assert lives[0] == 0 and lives[-1] == 2 and lives == sorted(lives), lives
    assert done == list(NAMES)
    unbroken.start(("coordinator", *NAMES))
    assert digest == unbroken.end(), "the same keys, the same seed, the same draws"
