"""A swarm of real processes in a storm: accidents at random, and what is left of the run when it is over."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from btard.deploy.chaos.accidents import Accident, hit_by, mend, strike
from btard.deploy.chaos.programs import Programs

_BETWEEN_SECONDS = (30.0, 45.0)
"""From one accident to the next."""

_AWAY_SECONDS = (0.0, 10.0)
"""How long those that it hits are away."""

_STOPPED_SECONDS = (3.0, 60.0)
"""How long one that stands still does so."""

_CALM_SHARE = 0.15
"""The share of the time in which nothing happens, at first: what a run without accidents does is measured there."""

_MOST_LOST = 0.25
"""The share of the steps that the accidents may cost."""

_MOST_GROWN = 0.03
"""The share by which the memory of all processes together may be more after the storm than in the first half of it, in
which processes grow warm."""

_FAIR_SECONDS = 300.0
"""In a shorter storm a single accident weighs too much for its share to tell anything, and memory is not warm."""

_SETTLES_SECONDS = 120.0
"""Within this time after the storm all are members again."""

_STEPS_AFTER = 10
_WARM_STEPS = 20

_KEPT_BY_TORCH = "torchinductor_"
"""Of temporary files: a user's cache, of which torch makes one for all programs."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Weather:
    """What a storm has come to.

    Attributes:
        accidents: how often each has happened.
        steps: that the run has done in the storm, of `expected` by its speed in the calm before.
        grown: the share by which the memory of all processes together is more than in the first half.
        wrong: what must not be, in sentences; nothing where all holds.
    """

    accidents: Counter[Accident]
    steps: int
    expected: float
    wrong: tuple[str, ...]
    grown: float = 0.0

    @property
    def lost(self) -> float:
        """The share of the steps that the accidents have cost."""
        return max(0.0, 1.0 - self.steps / self.expected) if self.expected else 0.0


class Storm:
    """Accidents that happen to a swarm one after the other, as a seed draws them."""

    def __init__(self, swarm: Programs, seed: int, tell: Tell) -> None:
        """Take a swarm that has been started."""
        self._swarm, self._chance, self._tell = swarm, random.Random(seed), tell
        self._bag: list[Accident] = []
        self.accidents: Counter[Accident] = Counter()

    def blow(self, seconds: float) -> Weather:
        """Let it storm for so long, and wait until all have come back."""
        swarm = self._swarm
        wrong: list[str] = []
        if not swarm.wait(lambda: all(peer.step >= _WARM_STEPS for peer in swarm.peers), _SETTLES_SECONDS):
            return Weather(self.accidents, 0, 0.0, ("the swarm does not begin to train",))
        speed = self._calm(_CALM_SHARE * seconds)
        warm_bytes = swarm.memory_bytes
        began, done, ends = time.monotonic(), self._done(), time.monotonic() + (1 - _CALM_SHARE) * seconds
        while time.monotonic() < ends:
            if time.monotonic() < (began + ends) / 2 and self._is_whole():
                warm_bytes = swarm.memory_bytes
            self._strike(ends)
        steps, expected = self._done() - done, speed * (time.monotonic() - began)
        if not swarm.wait(self._is_whole, _SETTLES_SECONDS):
            away = ", ".join(peer.member.name for peer in swarm.peers if peer.members != len(swarm.peers))
            wrong.append(f"not all are members {_SETTLES_SECONDS:g} s after the storm: {away} count fewer")
        if not swarm.wait_for_steps(_STEPS_AFTER, swarm.peers, _SETTLES_SECONDS):
            wrong.append("the run does not go on after the storm")
        grown = swarm.memory_bytes / warm_bytes - 1.0
        weather = Weather(self.accidents, steps, expected, (), grown)
        if seconds >= _FAIR_SECONDS:
            if weather.lost > _MOST_LOST:
                wrong.append(f"{weather.lost:.0%} of the steps were lost, more than {_MOST_LOST:.0%}")
            if grown > _MOST_GROWN:
                wrong.append(f"memory has grown by {grown:.1%}, more than {_MOST_GROWN:.0%}")
        return replace(weather, wrong=(*wrong, *self._found()))

    def _calm(self, seconds: float) -> float:
        """Return the steps a second of a swarm to which nothing happens."""
        began, done = time.monotonic(), self._done()
        self._swarm.wait(lambda: time.monotonic() > began + seconds, seconds + 1)
        return (self._done() - done) / (time.monotonic() - began)

    def _strike(self, ends: float) -> None:
        chance, swarm = self._chance, self._swarm
        if not self._bag:
            self._bag = chance.sample(list(Accident), len(Accident))
        accident = self._bag.pop()
        hit = hit_by(accident, swarm, chance)
        away = chance.uniform(*(_STOPPED_SECONDS if accident is Accident.STOP else _AWAY_SECONDS))
        names = ", ".join(program.member.name for program in hit)
        where = f"step {max(peer.step for peer in swarm.peers)}, {swarm.memory_bytes >> 20} MiB"
        self._tell(f"{where}: {accident} of {names} for {away:.0f} s")
        self.accidents[accident] += 1
        struck = time.monotonic()
        strike(accident, swarm, hit)
        swarm.wait(lambda: time.monotonic() > struck + away, away + 1)
        mend(accident, swarm, hit)
        until = min(ends, struck + max(away, chance.uniform(*_BETWEEN_SECONDS)))
        swarm.wait(lambda: time.monotonic() > until, max(0.0, until - time.monotonic()) + 1)

    def _done(self) -> int:
        """Return the steps that the run has done: of the peer that has finished most, as one that was away has not."""
        return max(len(peer.steps) for peer in self._swarm.peers)

    def _is_whole(self) -> bool:
        peers = self._swarm.peers
        return all(peer.pid is not None and peer.members == len(peers) for peer in peers)

    def _found(self) -> list[str]:
        """Return what honest peers must not have done, or told."""
        found, peers = list[str](), self._swarm.peers
        for peer in peers:
            found += [f"{peer.member.name} has seen {banned} banned" for banned in sorted(peer.banned)]
        states: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for peer in peers:
            for place, state in peer.states.items():
                states[place].add(state)
        unlike = sorted(place for place, of in states.items() if len(of) > 1)
        return found + [f"states differ after step {step} of incarnation {life}" for life, step in unlike[:3]]


def left_behind(directory: Path, temporary: Path) -> list[str]:
    """Return what a swarm that has ended has left: processes that run in its directory, and its temporary files."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{directory}/" in words:
            found.append(f"still runs: {words.strip()}")
    left = (path for path in sorted(temporary.glob("*")) if not path.name.startswith(_KEPT_BY_TORCH))
    return found + [f"is left: {path}" for path in left]
