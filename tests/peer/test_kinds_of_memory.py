"""A peer that dies at any event of a step, also of a failed attempt, and comes back at once with any kind of memory.

It begins no step twice, is not banned for what it has forgotten, ends with what the others hold, and divides nobody.
A key that runs twice, on a copy of its folder, may cost itself its place, or a ban, but divides nobody else.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from btard.behaviour import Behaviour
from tests.btard.round.test_second_try import Charges
from tests.btard.round.test_views import Mute
from tests.peer.forgetful import CLOSE, FAR, Disk, Forgetful, Loss
from tests.quick import quick, stride

STEP = 1
"""In which the liars of the stories lie."""

AT_ONCE_SECONDS = 0.001
STEPS, STEPS_TWICE = 30, 8
"""Of a run: until a peer that is out has come back; until a copy has taken part."""

STORIES: dict[str, Callable[[int], dict[int, Behaviour]]] = {
    "undisturbed": lambda count: {},
    "no share": lambda count: {count - 1: Mute()},
    "court": lambda count: {count - 1: Charges()},
}
"""What goes wrong in the step, by who lies among so many peers."""

AHEAD_SEED = 0
"""With it one of five peers that are far apart begins a step, and commits, while most are in the one before."""
AHEAD = 1


def story(name: str, count: int, loss: Loss, directory: Path, *, delay: tuple[float, float] = CLOSE) -> Forgetful:
    steps = STEPS_TWICE if loss.disk is Disk.COPIED else STEPS
    liars = STORIES[name](count)
    return Forgetful(count, loss, directory, steps=steps, behaviours=liars, delay=delay).run()


def untouched(name: str, count: int, peer: int, directory: Path) -> Forgetful:
    """Return a swarm in which nobody dies, two steps after the step: in the last one of a run other things happen."""
    never = Loss(peer, STEP, sys.maxsize, 0.0, Disk.KEPT)
    return Forgetful(count, never, directory, steps=STEP + 3, behaviours=STORIES[name](count)).run()


def at_events(name: str, count: int, peer: int, disk: Disk, directory: Path, every: int, first: int = 0) -> None:
    for moment in range(first, untouched(name, count, peer, directory).moments, every):
        loss = Loss(peer, STEP, moment, AT_ONCE_SECONDS, disk)
        swarm = story(name, count, loss, directory)
        assert swarm.died
        # A liar and one that is away are half of four: more than is assumed.
        swarm.check(lives=count > 4 or name == "undisturbed")


CASES = [case for case in itertools.product(STORIES, (4, 5), range(4), Disk) if case[2] < case[1] - 1]


@pytest.mark.parametrize("name, count, peer, disk", quick(3, CASES[:: len(CASES) // 5]))
def test_any_memory_divides_nobody_at_any_event(name: str, count: int, peer: int, disk: Disk, tmp_path: Path) -> None:
    at_events(name, count, peer, disk, tmp_path, every=9, first=peer)


EVERY = stride(48)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, len(CASES), stride(4)))
def test_so_it_is_at_more_events(number: int, tmp_path: Path) -> None:
    """At each 48th event of each fourth case, other ones in each; TEST_EVERY=1 takes all, which lasts an hour."""
    at_events(*CASES[number], tmp_path, every=EVERY, first=number % EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 7][:: stride(2)])
@pytest.mark.parametrize("disk", Disk)
def test_so_it_is_among_more_peers(count: int, disk: Disk, tmp_path: Path) -> None:
    for number, name in enumerate(STORIES):
        at_events(name, count, number, disk, tmp_path, every=2 * EVERY)


@pytest.mark.parametrize("name", STORIES)
def test_a_copy_of_the_attempt_before_says_the_same(name: str, tmp_path: Path) -> None:
    swarm = untouched(name, 5, 0, tmp_path)
    assert swarm.attempts == 1 + (name != "undisturbed")
    assert len(swarm.written) == 1, "whatever it signs in a step, the file has said so before"


@pytest.mark.parametrize("disk", quick(1, [Disk.TORN, Disk.LOST, Disk.OLDER, Disk.DELETED]))
def test_one_a_step_ahead_of_most_begins_that_step_once(disk: Disk, tmp_path: Path) -> None:
    for moment in (0, 6, 12):
        loss = Loss(AHEAD, 3, moment, AT_ONCE_SECONDS, disk)
        swarm = story("undisturbed", 5, loss, tmp_path, delay=FAR)
        assert swarm.most_stood_at == 2, "most others are in the step before"
        swarm.check()


def test_a_copy_of_a_folder_takes_part_under_the_same_key(tmp_path: Path) -> None:
    swarm = story("undisturbed", 5, Loss(1, STEP, 9, AT_ONCE_SECONDS, Disk.COPIED), tmp_path)
    swarm.check()
    assert swarm.begun_beside and min(swarm.begun_beside) > STEP + 1
