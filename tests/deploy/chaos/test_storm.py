"""What a storm of accidents finds wrong, on a swarm of stand-ins that have told of their steps."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from btard.deploy.chaos import storm as module
from btard.deploy.chaos.accidents import Accident, mend, strike
from btard.deploy.chaos.programs import Program, pss_bytes
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
        self.leaks = False
        self.sent: list[str] = []

    def running(self) -> list[Program]:
        return self.peers

    @property
    def memory_bytes(self) -> int:
        return 1000 + (self.peers[0].step // 10 if self.leaks else 0)

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


def blown(standins: Standins, seconds: float = 600.0) -> module.Weather:
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


def test_memory_that_grows_is_told(standins: Standins) -> None:
    assert blown(standins).grown == 0
    standins.leaks = True
    assert [words for words in blown(standins).wrong if "memory has grown" in words]


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


def test_what_a_swarm_leaves_is_found(tmp_path: Path) -> None:
    directory, temporary = tmp_path / "run", tmp_path / "tmp"
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()", f"{directory}/peer-0"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not left_behind(directory, temporary) and time.monotonic() < deadline:
            pass
        assert len(left_behind(directory, temporary)) == 1
        process.kill()
    assert left_behind(directory, temporary) == []
    (temporary / "btard-p2pd-1").mkdir(parents=True)
    assert left_behind(directory, temporary) == [f"is left: {temporary}/btard-p2pd-1"]


def test_memory_is_that_of_a_process(tmp_path: Path) -> None:
    holds = "import sys; held = bytes(range(256)) * (1 << 17); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 32 << 20 <= pss_bytes(process.pid) <= 64 << 20
        process.kill()
    assert pss_bytes(process.pid) == 0


WRITES = """import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "a") as file:
            file.write(line)
        print("yes", flush=True)
    except OSError:
        print("no", flush=True)
"""


def test_a_full_disk_takes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        member = Member("peer-0", tmp_path, IdentityKey.from_seed(bytes(32)).peer_id)
        hit = [Program(member, pid=process.pid)]
        said = []
        for change in (lambda *_: None, strike, mend):
            change(Accident.FILL_DISK, None, hit)  # type: ignore[arg-type]
            process.stdin.write("line\n")
            process.stdin.flush()
            said.append(process.stdout.readline())
        process.stdin.close()
    assert said == ["yes\n", "no\n", "yes\n"] and path.read_text() == "line\nline\n"
