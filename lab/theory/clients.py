"""How long until all attackers are banned where some members are clients: the closed form beside the protocol's draws.

python -m btard.lab.theory.clients

Of n members v are voters, h of them honest, and m validate in a step, who submit nothing. So a given client is one of
the n - m submitters always, a voter with the probability 1 - m / v; then it is a target with m / (n - m), and an honest
voter its validator with h / v for a client, h / (v - 1) for a voter. Lying voters and lying clients are banned at
different rates, so the mean is taken over the order in which they go. Without clients it is the form of `waits`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from btard.lab.theory.waits import drawn_names, interval_of_mean, until_all_are_out
from btard.round.roster import Roster, first_randomness


@dataclass(frozen=True)
class Mix:
    """Members of a swarm, by what they are."""

    honest_voters: int
    honest_clients: int
    lying_voters: int
    lying_clients: int

    @property
    def members(self) -> int:
        """All of them."""
        return self.honest_voters + self.honest_clients + self.lying_voters + self.lying_clients


CASES = (Mix(9, 0, 7, 0), Mix(7, 2, 5, 2), Mix(5, 4, 3, 4), Mix(8, 1, 0, 7), Mix(6, 6, 2, 2))
"""Of the published table; 16 members each."""


def expected_steps(mix: Mix, validators: float) -> float:
    """Return the closed form of the mean steps until all attackers are out, `validators` being the mean of a step."""

    @cache
    def left(voters: int, clients: int) -> float:
        if not voters and not clients:
            return 0.0
        voting = mix.honest_voters + voters
        drawn = validators / (voting + mix.honest_clients + clients - validators)
        submits = 1 - validators / voting
        of_voters = drawn * submits * voters * mix.honest_voters / (voting - 1) if voters else 0.0
        of_clients = drawn * clients * mix.honest_voters / voting
        # The chance of each ban times what is left after it, and one step, over the chance of any ban.
        steps = 1 + (of_voters * left(voters - 1, clients) if voters else 0.0)
        steps += of_clients * left(voters, clients - 1) if clients else 0.0
        return steps / (of_voters + of_clients)

    return left(mix.lying_voters, mix.lying_clients)


def draws_alone(mix: Mix, validators: float, seed: int) -> int:
    """Return how many steps it takes in one run of the protocol's own draws, without any message."""
    names = drawn_names(mix.members, seed, "btard drawn client")
    voting = mix.honest_voters + mix.lying_voters
    liars = frozenset(names[mix.honest_voters : voting] + names[mix.members - mix.lying_clients :])
    clients = tuple(sorted(names[voting:]))
    roster = Roster(0, tuple(sorted(names)), frozenset(), first_randomness(seed, 0), clients=clients)
    return until_all_are_out(roster, liars, validators)


def measured(mix: Mix, validators: float, runs: int) -> tuple[int, ...]:
    """Return the steps of so many runs."""
    return tuple(draws_alone(mix, validators, seed) for seed in range(runs))


def table(runs: int) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| honest voters | honest clients | lying voters | lying clients | mean, closed form | by the draws, 95 % "
        "interval |",
        "|---|---|---|---|---|---|",
    ]
    for mix in CASES:
        steps = measured(mix, 1, runs)
        low, high = interval_of_mean(steps)
        lines.append(
            f"| {mix.honest_voters} | {mix.honest_clients} | {mix.lying_voters} | {mix.lying_clients} "
            f"| {expected_steps(mix, 1):.1f} | {statistics.fmean(steps):.1f} ({low:.1f} to {high:.1f}) |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m btard.lab.theory.clients", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=1000, help="runs of each case (default: 1000)")
    print(table(parser.parse_args(argv).runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
