"""How often all auditors of a liar's part are its accomplices: closed form and the protocol's own draws, as a table.

python -m btard.lab.theory.audits

An owner that lies is one of b liars among n voters. Its part has A auditors, drawn among the n - 1 others when its
aggregate is committed to; b - 1 of these are accomplices. If all A are, an aggregate passes that may be anything:

    P(n, b, A) = C(b - 1, A) / C(n - 1, A)          0 from A = b on
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.draw import all_accomplices, draw_auditors, enough_auditors

SWARMS = ((8, 3), (16, 7), (64, 31))
"""(voters, liars) of the published table."""


@dataclass(frozen=True)
class Odds:
    """One line of the table: `passed` of `draws` drew accomplices alone."""

    voters: int
    liars: int
    auditors: int
    chance: float
    passed: int
    draws: int


def drawn(voters: int, liars: int, auditors: int, draws: int) -> int:
    """Return of so many draws how many make accomplices the only auditors of a liar's part."""
    peers = [PeerId.from_public_key(tagged_digest("btard audits peer", i.to_bytes(4, "big"))) for i in range(voters)]
    accomplices = set(peers[:liars])
    randomness = (tagged_digest("btard audits draw", i.to_bytes(4, "big")) for i in range(draws))
    return sum(set(draw_auditors(r, peers[:1], peers, auditors)[0]) <= accomplices for r in randomness)


def rows(draws: int) -> Iterator[Odds]:
    """Yield the table: for each swarm a few auditors a part, and as many as it takes."""
    for voters, liars in SWARMS:
        for auditors in sorted({1, 2, 3, enough_auditors(voters)}):
            passed = drawn(voters, liars, auditors, draws)
            yield Odds(voters, liars, auditors, all_accomplices(voters, liars, auditors), passed, draws)


def interval_of_share(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a probability of which `count` of `total` independent draws came true."""
    z, share = 1.96, count / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000, help="draws for each line")
    arguments = parser.parse_args(argv)
    print("| voters | liars | auditors a part | all accomplices, closed form | by the draws, 95 % interval |")
    print("|---|---|---|---|---|")
    for row in rows(arguments.draws):
        low, high = interval_of_share(row.passed, row.draws)
        print(
            f"| {row.voters} | {row.liars} | {row.auditors} | {row.chance:.3g} | {row.passed / row.draws:.3g} "
            f"({low:.3g} to {high:.3g}) |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
