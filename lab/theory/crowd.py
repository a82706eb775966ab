"""How many steps a crowd of keys needs to outvote those that were there before: closed form and draws, as a table.

python -m btard.lab.theory.crowd

A crowd knocks at a swarm of n voters that are all honest and stay. Of N members, q(N) = max(1, N // 20) new keys come
in within 20 steps, so there are N_0 = n, N_1 = N_0 + q(N_0), N_2 ... after so many windows of 20 steps. If nobody else
knocks, all of them are the crowd's, and it has more votes than the n once N_W > 2 n: that takes

    T(W) = 20 (W - 1) + 1 + probation

steps from the first in which it is named, and n + 1 keys at least. Beside an honest newcomer, and always another one
when it is in, k keys of the crowd that wait leave it a place with the probability q / (k + 1) a window. That is a chain
of honest newcomers h: the crowd has N_w - n - h keys inside, and outvotes once these are more than n + h.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.lab.theory.waits import interval_of_mean
from btard.round.admission import Doorstep, admit, quota
from btard.round.roster import ADMISSION_WINDOW, Roster, first_randomness

SIZES = (8, 16, 64, 256)
"""Members at the beginning, of the published table."""

PROBATION = 20
_NEGLIGIBLE = 1e-9


def windows_alone(members: int) -> int:
    """Return W: after how many windows of new keys there are more than twice as many members."""
    return next(windows for windows, total in enumerate(_totals(members)) if total > 2 * members)


def _totals(members: int) -> Iterator[int]:
    """N_0, N_1, N_2 ..., how many members there are after so many windows."""
    while True:
        yield members
        members += quota(members)


def steps_of(windows: int, probation: int = PROBATION) -> int:
    """Return T: steps from the first in which the crowd is named until the keys of the last window have their vote."""
    return ADMISSION_WINDOW * (windows - 1) + 1 + probation


def expected_steps(members: int, waiting: int, probation: int = PROBATION) -> float:
    """Return the mean of the steps that a crowd needs beside honest newcomers, one of which always waits.

    Args:
        members: honest voters at the beginning.
        waiting: keys of the crowd that wait at any time: more than one, and as many as there are places.
        probation: steps without a vote.
    """
    chances, mean, totals = {0: 1.0}, 0.0, _totals(members)
    total = next(totals)
    for window in itertools.count(1):
        before, total = total, next(totals)
        wins = (total - before) / (waiting + 1)
        after: dict[int, float] = defaultdict(float)
        for honest, chance in chances.items():
            after[honest] += chance * (1 - wins)
            after[honest + 1] += chance * wins
        there = sum(chance for honest, chance in after.items() if total - members - honest > members + honest)
        mean += there * steps_of(window, probation)
        chances = {h: chance for h, chance in after.items() if total - members - h <= members + h}
        if sum(chances.values()) < _NEGLIGIBLE:
            break
    return mean


def draws_alone(members: int, waiting: int, seed: int, *, rival: bool, probation: int = PROBATION) -> int:
    """Return the steps that one run of the protocol's own draws takes, without any message.

    Args:
        members: honest voters at the beginning.
        waiting: keys of the crowd that wait at any time.
        seed: of the draws and the keys.
        rival: whether an honest newcomer always waits, too.
        probation: steps without a vote.
    """
    honest, crowd = _names(seed, "honest"), _names(seed, "crowd")
    roster = Roster(0, tuple(sorted(itertools.islice(honest, members))), frozenset(), first_randomness(seed, 0))
    keys = set(itertools.islice(crowd, waiting))
    door, newcomer, outside = Doorstep(), next(honest), set(keys)
    while 2 * len(roster.voters & keys) <= len(roster.voters):
        named = door.names(roster, outside | {newcomer} if rival else outside)
        randomness = tagged_digest("btard simulated draw", roster.randomness)
        joined = admit(roster, roster.members, named, randomness)
        roster = roster.successor(roster.members, joined, (), randomness=randomness, probation_steps=probation)
        fresh = set(itertools.islice(crowd, len(outside.intersection(joined))))
        outside, keys = outside.difference(joined) | fresh, keys | fresh
        if newcomer in joined:
            newcomer = next(honest)
    return roster.step


def _names(seed: int, kind: str) -> Iterator[PeerId]:
    """Names that nobody has a key for: there are no messages to sign."""
    for number in itertools.count():
        head = seed.to_bytes(8, "big")
        yield PeerId.from_public_key(tagged_digest(f"btard {kind} name", head, number.to_bytes(8, "big")))


@dataclass(frozen=True)
class Siege:
    """How many steps a crowd needed beside honest newcomers, over many runs."""

    members: int
    waiting: int
    steps: tuple[int, ...]

    @property
    def expected(self) -> float:
        """The mean by the chain."""
        return expected_steps(self.members, self.waiting)

    @property
    def mean(self) -> float:
        """The measured mean."""
        return statistics.fmean(self.steps)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean."""
        return interval_of_mean(self.steps)

    @property
    def agrees(self) -> bool:
        """Whether the chain's mean lies in the interval."""
        low, high = self.interval
        return low <= self.expected <= high


def besiege(members: int, waiting: int, runs: int, first_seed: int = 0) -> Siege:
    """Return `draws_alone` beside honest newcomers over many seeds."""
    return Siege(
        members, waiting, tuple(draws_alone(members, waiting, first_seed + run, rival=True) for run in range(runs))
    )


def table(runs: int) -> str:
    """Return closed form and measurement as a Markdown table; the runs of a crowd alone are all alike."""
    lines = [
        "| n | windows W | crowd alone | measured | n / 4 keys wait beside a newcomer | measured, 95 % interval "
        "| 4 n keys wait beside a newcomer | measured, 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for members in SIZES:
        windows = windows_alone(members)
        cells: list[object] = [members, windows, steps_of(windows), draws_alone(members, 2 * members, 0, rival=False)]
        for waiting in (members // 4, 4 * members):
            siege = besiege(members, waiting, runs)
            low, high = siege.interval
            cells += [f"{siege.expected:.0f}", f"{siege.mean:.0f} ({low:.0f} to {high:.0f})"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m btard.lab.theory.crowd", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=100, help="runs a case (default: 100)")
    print(table(parser.parse_args(argv).runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
