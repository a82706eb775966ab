"""All stories of small agreements, within an alphabet of lies and of times, keep all promises.

What `check` asserts of each: all honest members that live decide the same; what an honest member says is decided,
unless it may be done without; nobody decides later than `most_seconds` after its windows have begun to count; with all
honest and prompt everybody decides three messages after the last start; every statement that a decision names is held;
no deadline passes without progress; no package holds more than a receiver reads.

Time is reduced to what can matter. A message of an honest member to another takes no time or a whole bound, one choice
a link and story; members begin at once or almost a bound later. (At a bound later, what takes a bound comes at the very
moment at which the first window ends, and then it depends on the order of two events whether it counts.) A member that
listens later than others is one whose messages take longer. Lies arrive just before or just after a window ends at
their receiver, at its start, or in the middle of a fast agreement. What a lie says is in the module `lies`; `alphabet`
says which of them are combined. A lie is told to one honest member or to all. Members die at every message that they
send, so in the middle of telling others, too. The module `search` draws what this leaves out: delays of each message,
more members, more lies, members that begin when they hear of it, windows that count later, doubts, and so on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from itertools import combinations, product

import pytest

from tests.btard.agreement.lies import Certify, Echo, Junk, Lie, Mark, Said, Show, Vote
from tests.btard.agreement.model import BOUND
from tests.btard.agreement.story import Story, tell
from tests.quick import quick, stride

WINDOW = 2 * BOUND
JUST = BOUND / 4096
LATE = BOUND - JUST
SOON = 1.5 * BOUND
"""When statements have come, and echoes not yet, or not all."""

SCHEDULES = 12
"""How many of them `few` yields."""

Links = frozenset[tuple[int, int]]
Schedule = tuple[tuple[float, ...], Links]


def alphabet(honest: tuple[int, ...], liars: tuple[int, ...]) -> list[Lie]:
    """Return the lies that are combined: what liars, all of whom vote, may tell one honest member, or all."""
    faults, said = len(liars), list[tuple[float, Said]]()
    for liar in liars:
        said += [(seconds, Show(liar, b"x")) for seconds in (0.0, WINDOW - JUST)]
        said += [(0.0, Show(liar, b"y")), (0.0, Show(liar, b"z")), (0.0, Junk(liar)), (0.0, Mark(liar, liar, b"x"))]
        said += [(seconds, Show(liar, b"y", (liar,))) for seconds in (2 * WINDOW - JUST, 2 * WINDOW + JUST)]
        said += [(SOON, Echo(liar)), (WINDOW - JUST, Echo(liar))]
        said += [(seconds, Vote(liar)) for seconds in (SOON, 3 * WINDOW, 4 * WINDOW - JUST)]
    if faults > 1:
        edge = (faults + 1) * WINDOW
        said += [(seconds, Show(liars[0], b"y", liars)) for seconds in (edge - JUST, edge + JUST)]
    said += [(4 * WINDOW + off, Certify()) for off in (-JUST, JUST)]
    said += [((faults + 4) * WINDOW + off, Certify(liars)) for off in (-JUST, JUST)]
    return [Lie(seconds, told, what) for seconds, what in said for told in [*((one,) for one in honest), honest]]


def links(places: Iterable[int]) -> list[tuple[int, int]]:
    members = tuple(places)
    return [(a, b) for a in members for b in members if a != b]


def subsets(of: list[tuple[int, int]]) -> Iterator[Links]:
    for bits in product((False, True), repeat=len(of)):
        yield frozenset(link for link, slow in zip(of, bits, strict=True) if slow)


def few(count: int, honest: tuple[int, ...]) -> Iterator[Schedule]:
    """Yield schedules in which everybody is slow or nobody, or one member is, and in which one begins otherwise."""
    every = links(honest)
    lonely = honest[0]
    for slow in (every, [], [link for link in every if lonely in link], [link for link in every if lonely == link[1]]):
        for late in (lambda place: False, lambda place: place == lonely, lambda place: place != lonely):
            yield tuple(LATE * late(place) for place in range(count)), frozenset(slow)


EVERY = stride(12)
"""Of many stories each twelfth is told in the slow tests; all of them take an hour."""


def tell_some(stories: Iterable[Story], count: int) -> None:
    """Tell one in EVERY of `count` stories."""
    assert tell_all(itertools.islice(stories, 0, None, EVERY)) == len(range(0, count, EVERY))


def tell_all(stories: Iterable[Story]) -> int:
    """Tell them, and return how many they are."""
    number = 0
    for story in stories:
        tell(story)
        number += 1
    return number


def lying(count: int, voters: int, most: int, schedule: int) -> Iterator[Story]:
    """Yield stories with up to so many lies, of as many liars as may be: the last that vote."""
    faults = (voters - 1) // 2
    liars = tuple(range(voters - faults, voters))
    honest = tuple(place for place in range(count) if place not in liars)
    starts, slow = list(few(count, honest))[schedule]
    for number in range(most + 1):
        for lies in combinations(alphabet(honest, liars), number):
            yield Story(count, voters, liars, starts, lies, slow)


def test_no_order_of_messages_divides_three() -> None:
    """All links slow or not, all starts, each member without a vote or with, each to be waited for or not."""
    stories = (
        Story(3, voters, (), starts, slow=slow, out=out)
        for voters in (1, 2, 3)
        for starts in product((0.0, LATE), repeat=3)
        for slow in subsets(links(range(3)))
        for out in ((), (2,))
    )
    assert tell_all(stories) == 3072


@pytest.mark.parametrize("clock", [None, 3 * BOUND])
@pytest.mark.parametrize("share", quick(1, range(8), slow=2))
def test_no_order_of_messages_divides_four(share: int, clock: float | None) -> None:
    slow_links = list(subsets(links(range(4))))[share::8]
    stories = (Story(4, 4, (), (0.0, LATE, 0.0, LATE), slow=slow, clock=clock) for slow in slow_links)
    assert tell_all(stories) == 4096 // 8


@pytest.mark.parametrize("voters", quick(1, [3, 4]))
def test_a_death_at_any_message_divides_nobody(voters: int) -> None:
    """One of four dies; it has a vote, the last one has one or not, and it may be done without it, or not."""
    stories = (
        Story(4, voters, (), starts, slow=slow, mortal=((place, message),), out=out)
        for starts, slow in few(4, (0, 1, 2, 3))
        for place in (0, 2)
        for message in range(1, 30)
        for out in ((), (place,))
    )
    assert tell_all(stories) == 12 * 2 * 29 * 2


@pytest.mark.slow
def test_two_deaths_at_any_message_divide_nobody() -> None:
    """Two of five die, at every pair of messages."""
    stories = (
        Story(5, 5, (), starts, slow=slow, mortal=((0, first), (4, second)))
        for starts, slow in few(5, (0, 1, 2, 3, 4))
        for first in range(1, 36, 2)
        for second in range(1, 36)
    )
    tell_some(stories, 12 * 18 * 35)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", range(6))
def test_three_lies_among_three_divide_nobody(schedule: int) -> None:
    tell_some(lying(3, 3, 3, schedule), 1 + 51 + 51 * 50 // 2 + 51 * 50 * 49 // 6)


@pytest.mark.slow
@pytest.mark.parametrize("voters", [3, 4])
@pytest.mark.parametrize("schedule", range(SCHEDULES))
def test_two_lies_among_four_divide_nobody(voters: int, schedule: int) -> None:
    """All vote, and one lies; or one lies, and one has no vote."""
    tell_some(lying(4, voters, 2, schedule), 1 + 68 + 68 * 67 // 2)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [1, 2, 7])
def test_two_lies_of_two_among_five_divide_nobody(schedule: int) -> None:
    tell_some(lying(5, 5, 2, schedule), 1 + 128 + 128 * 127 // 2)
