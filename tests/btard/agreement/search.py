"""Searches for a story in which an agreement breaks its promises.

    python -m tests.btard.agreement.search --stories 100000 --seed 1

Stories are drawn, one a number, from 3 to 16 members: who votes, lies, dies, leaves or is silent, when each begins,
how long each message takes, what may be done without, and up to a few lies a liar. Lies come mostly at the edges of
windows. The first story that fails is printed, in full and by its number; `--stories 1 --seed NUMBER` replays it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import replace

from btard.agreement.messages import VoteRound
from tests.btard.agreement.lies import Bye, Certify, Echo, Junk, Lie, Mark, Prove, Said, Show, Vote, Want
from tests.btard.agreement.model import BOUND
from tests.btard.agreement.story import Story, check, played

WINDOW = 2 * BOUND
JUST = BOUND / 4096
LATEST = BOUND - BOUND / 1024
"""The last start. At a bound after the first, a statement that takes a bound comes as the first window ends."""
COUNTS = (*(3, 4, 5) * 12, 6, 7, 8, 9, 12, 16)
BODIES = (b"x", b"x", b"y", b"z")


def drawn(number: int) -> Story:
    """Return the story of this number."""
    chance = random.Random(number)
    count = chance.choice(COUNTS)
    voters = count if chance.random() < 0.6 else chance.randint(1, count)
    faults = (voters - 1) // 2
    faulty = chance.sample(range(voters), chance.choice([faults, chance.randint(0, faults)]))
    leaving = _leaving(chance, voters, count, faulty) if chance.random() < 0.5 else ()
    dying = chance.randint(0, len(faulty)) if chance.random() < 0.25 else 0
    dead, liars = faulty[:dying], faulty[dying:]
    for place in range(voters, count):
        if chance.random() < 0.3 and place not in dict(leaving):
            chance.choice([dead, liars]).append(place)
    honest = [place for place in range(count) if place not in liars]
    starts = tuple(chance.choice([0.0, 0.0, BOUND / 3, BOUND / 2, LATEST]) for _ in range(count))
    return Story(
        count,
        voters,
        tuple(sorted(liars)),
        starts,
        tuple(_lies(chance, count, honest, liars)),
        _slow(chance, honest),
        chance.choice([None, number]),
        chance.choice([BOUND, BOUND, BOUND / 2, 0.05 * BOUND]),
        chance.choice([None, None, None, 0.0, BOUND, 3 * BOUND]),
        tuple(place for place in honest if chance.random() < 0.05),
        tuple((place, chance.randint(1, 6 * count)) for place in dead),
        tuple(place for place in range(count) if chance.random() < (0.8 if place in faulty else 0.1))
        if chance.random() < 0.4
        else (),
        chance.random() < 0.5,
        chance.random() < 0.5,
        leaving,
        chance.choice([0.0, 0.0, BOUND, WINDOW]),
    )


def _leaving(chance: random.Random, voters: int, count: int, faulty: list[int]) -> tuple[tuple[int, int], ...]:
    """Have some leave, fewer than half of the voters; let fewer lie than are honest and stay."""
    going = chance.sample(range(voters), chance.choice([(voters - 1) // 2, chance.randint(0, (voters - 1) // 2)]))
    faulty[:] = [place for place in faulty if place not in going][: (voters - len(going) - 1) // 2]
    going += [place for place in range(voters, count) if chance.random() < 0.2]
    return tuple((place, chance.choice([0, 0, chance.randint(1, 6 * count)])) for place in sorted(going))


def _slow(chance: random.Random, honest: list[int]) -> frozenset[tuple[int, int]]:
    links = [(a, b) for a in honest for b in honest if a != b]
    share = chance.choice([0.0, 0.2, 0.5, 0.8, 1.0])
    lonely = chance.choice([*honest, None, None])
    return frozenset(link for link in links if (lonely in link if lonely is not None else chance.random() < share))


def _lies(chance: random.Random, count: int, honest: list[int], liars: list[int]) -> list[Lie]:
    lies: list[Lie] = []
    if not liars:
        return lies
    if chance.random() < 0.3:
        return _divided(chance, honest, liars)
    if chance.random() < 0.5:  # take part at first, so that something is certified
        shown, early = chance.random() < 0.7, chance.choice([0.0, 1.5 * BOUND, WINDOW - JUST])
        for liar in liars:
            told = tuple(chance.sample(honest, chance.randint(1, len(honest))))
            lies += [Lie(0.0, told, Show(liar, b"x"))] if shown else []
            lies.append(Lie(early, told, Echo(liar, chance.choice([None, *honest]))))
            lies += [Lie(early, told, Vote(liar, chance.choice([None, *honest])))] if chance.random() < 0.5 else []
    elif chance.random() < 0.4:
        lies += _withheld(chance, honest, liars)
    for _ in range(chance.randint(0, 5 + 2 * len(liars))):
        edge = WINDOW * chance.randint(0, len(liars) + 6) + chance.choice([-JUST, -JUST, 0.0, JUST, -BOUND, BOUND / 2])
        seconds = chance.choice([0.0, chance.random() * WINDOW]) if chance.random() < 0.35 else max(0.0, edge)
        told = tuple(chance.sample(honest, chance.choice([1, 1, 1, chance.randint(1, len(honest))])))
        lies.append(Lie(seconds, told, _said(chance, honest, liars)))
    return lies


def _divided(chance: random.Random, honest: list[int], liars: list[int]) -> list[Lie]:
    """Have some of the honest vote for one thing and some for another, and show each a majority for its own."""
    first = tuple(chance.sample(honest, chance.randint(1, len(honest))))
    others = tuple(place for place in honest if place not in first)
    lies = [Lie(0.0, told, Show(liars[0], body)) for told, body in ((first, b"x"), (others, b"y")) if told]
    lies += [Lie(0.0, tuple(honest), Show(liar, b"x")) for liar in liars[1:]]
    for place in honest:
        echoed = chance.choice([0.0, 0.0, 0.05, 0.3, 1.1]) * BOUND
        voted = echoed + chance.choice([0.11, 0.11, 0.5, 1.2]) * BOUND
        again = voted + chance.choice([WINDOW, WINDOW + JUST, BOUND, 0.5 * BOUND])
        for liar in liars:
            lies.append(Lie(echoed, (place,), Echo(liar)))
            lies += [Lie(voted, (place,), Vote(liar))] if chance.random() < 0.8 else []
            lies += [Lie(again, (place,), Vote(liar, None, VoteRound.SECOND))] if chance.random() < 0.8 else []
        for _ in range(chance.randint(0, 2)):
            shown = Prove(chance.randint(0, 1), chance.choice([VoteRound.FIRST, VoteRound.FIRST, VoteRound.SECOND]))
            lies.append(Lie(chance.random() * 2 * WINDOW, (place,), shown))
    if chance.random() < 0.3:
        chain = tuple(liars[: chance.randint(0, len(liars))])
        late = WINDOW * (4 + len(chain)) - JUST
        lies.append(Lie(late, (chance.choice(honest),), Certify(chain, chance.randint(0, 1), VoteRound.SECOND)))
    return lies


def _withheld(chance: random.Random, honest: list[int], liars: list[int]) -> list[Lie]:
    """Have the honest vote early, but certify nothing; then show them more, and some of them the certificate."""
    everybody, early = tuple(honest), chance.choice([0.5 * BOUND, 1.5 * BOUND, WINDOW - JUST])
    lies = [Lie(0.0, everybody, Show(liar, b"x")) for liar in liars]
    lies += [Lie(early, everybody, Echo(liar)) for liar in liars]
    for base, said in ((1, Show(liars[0], b"y")), (4, Certify())):
        chain = tuple(liars[: chance.randint(0, len(liars))])
        told = tuple(chance.sample(honest, chance.choice([1, 1, len(honest)])))
        windows = base + chance.choice([len(chain), len(chain), len(liars) + 1])
        seconds = windows * WINDOW + chance.choice([-JUST, -JUST, JUST])
        lies.append(Lie(seconds, told, replace(said, chain=chain)))
    if chance.random() < 0.3:
        lies.append(Lie(0.0, tuple(chance.sample(honest, 1)), Junk(chance.choice(liars))))
    return lies


def _said(chance: random.Random, honest: list[int], liars: list[int]) -> Said:
    liar, author, of = chance.choice(liars), chance.choice(liars), chance.choice([None, *honest])
    chain = tuple(liar for liar in liars if chance.random() < chance.choice([0.5, 1.0]))
    said: list[Said] = [
        Show(author, chance.choice(BODIES), chain, chance.random() < 0.2),
        Show(author, chance.choice(BODIES), chain, False),
        Show(author, chance.choice(BODIES)),
        Certify(chain),
        Certify(),
        Vote(liar, of),
        Vote(liar, of),
        Echo(liar, of),
        Mark(liar, author, chance.choice(BODIES)),
        Junk(liar),
        Want(),
        Certify(chain, 1),
        Certify(chain, chance.randint(0, 1), VoteRound.SECOND),
        Certify((), 0, VoteRound.SECOND),
        Vote(liar, of, VoteRound.SECOND),
        Prove(0),
        Prove(1),
        Prove(1),
        Prove(chance.randint(0, 1), VoteRound.SECOND),
        Bye(liar),
        Bye(liar),
    ]
    return chance.choice(said)


def main() -> None:
    """Play stories until one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the number of the first story")
    asked = parser.parse_args()
    began, sizes, certified = time.monotonic(), Counter[int](), 0
    for number in range(asked.seed, asked.seed + asked.stories):
        story = drawn(number)
        sizes[story.count] += 1
        try:
            world = played(story)
            check(story, world)
        except AssertionError as wrong:
            print(f"story {number}: {wrong}\n{story}")
            sys.exit(1)
        certified += any(machine._ledger.certificate is not None for machine in world.machines.values())
        if (number - asked.seed + 1) % 10_000 == 0:
            print(f"{number - asked.seed + 1} stories, {time.monotonic() - began:.0f} s", flush=True)
    took = time.monotonic() - began
    print(f"{asked.stories} stories hold, {certified} of them by a certificate, in {took:.0f} s")
    print(f"stories by members: {sorted(sizes.items())}")


if __name__ == "__main__":
    main()
