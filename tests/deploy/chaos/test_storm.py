"""What a storm of accidents finds wrong, on a swarm of stand-ins that have told of their steps."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from btard.deploy.chaos import storm as module
from btard.deploy.chaos.accidents import Accident
from btard.deploy.chaos.programs import Program
from btard.deploy.chaos.storm import Storm, left_behind
from btard.deploy.local.plan import Member
from btard.identity import IdentityKey
from btard.swarm.events.peer import JoinedRun, PeerBanned, StepFinished

PEERS = 3


def finished(step: int, *, state: str = "", members: int = PEERS, when: float = 0.0) -> StepFinished:
    return StepFinished(
        time=when, step=step, loss=1.0, seconds=0.1, members=members, attacks=False, attempt=0, roster="", state=state
    )


def joined(step: int, incarnation: int) -> JoinedRun:
    return JoinedRun(time=0.0, peer="", step=step, members=(), banned=(), roster="", rules="", incarnation=incarnation)


class Standins:
    """Peers that finish a step at every look, as `ticks` says how long it takes."""

    def __init__(self, directory: Path, *, slow_from: int = 10**9) -> None:
        names = [f"peer-{number}" for number in range(PEERS)]
        self.peers = [
            Program(Member(name, directory / name, IdentityKey.from_seed(name.encode().ljust(32)).peer_id), pid=1)
            for name in names
        ]
        self.coordinator = Program(Member("coordinator", directory, self.peers[0].member.peer_id), pid=1)
        self.now, self.slow_from = 0.0, slow_from
        self.sent: list[str] = []

    def running(self) -> list[Program]:
        return self.peers

    def wait(self, condition: object, seconds: float) -> bool:
        assert callable(condition)
        deadline = self.now + seconds
        while not condition() and self.now < deadline:
            step = self.peers[0].step + 1
            self.now += 0.1 if step < self.slow_from else 1.0
            for peer in self.peers:
                peer.feed(finished(step, state=str(step), when=self.now))
        return bool(condition())

    def wait_for_steps(self, count: int, among: list[Program], seconds: float) -> bool:
        goal = self.peers[0].step + count
        return self.wait(lambda: self.peers[0].step >= goal, seconds)


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standins:
    made = Standins(tmp_path)

    def note(accident: Accident, swarm: object, hit: object) -> None:
        made.sent.append(accident)

    monkeypatch.setattr(module, "strike", note)
    monkeypatch.setattr(module, "mend", note)
    monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    return made


def blown(standins: Standins, seconds: float = 400.0) -> module.Weather:
    return Storm(standins, 1, lambda words: None).blow(seconds)  # type: ignore[arg-type]


def test_in_a_storm_each_accident_comes_once_before_any_again(standins: Standins) -> None:
    weather = blown(standins)
    assert weather.wrong == () and weather.lost < 0.01
    assert set(weather.accidents) == set(Accident) and max(weather.accidents.values()) <= 2
    assert len(standins.sent) == 2 * weather.accidents.total(), "what is struck is mended"


def test_steps_that_were_lost_are_told(standins: Standins) -> None:
    standins.slow_from = 1000
    weather = blown(standins)
    assert weather.lost > 0.5
    assert [words for words in weather.wrong if "of the steps were lost" in words]


def test_states_that_differ_are_told_by_incarnation(standins: Standins) -> None:
    one, other, _ = standins.peers
    one.feed(finished(5, state="a"))
    other.feed(joined(5, incarnation=1))
    other.feed(finished(5, state="b"))
    assert Storm(standins, 1, print)._found() == []  # type: ignore[arg-type]
    one.feed(joined(5, incarnation=1))
    one.feed(finished(5, state="c"))
    assert Storm(standins, 1, print)._found() == ["states differ after step 5 of incarnation 1"]  # type: ignore[arg-type]


def test_a_ban_is_told(standins: Standins) -> None:
    standins.peers[0].feed(PeerBanned(time=0.0, peer="somebody", step=3, reason="why"))
    assert any("somebody banned" in words for words in blown(standins).wrong)


def test_a_process_that_still_runs_is_found(tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()", f"{tmp_path}/run/peer-0"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not left_behind(tmp_path / "run") and time.monotonic() < deadline:
            pass
        assert len(left_behind(tmp_path / "run")) == 1
        process.kill()
    assert left_behind(tmp_path / "run") == []
