"""A peer that loses its memory at any event of a step divides nobody, is not banned, and comes back.

Every moment of the step is tried: each message to each receiver, and each event that makes the peer do something.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from btard.behaviour import Behaviour
from tests.btard.round.swarm import voids
from tests.btard.round.test_second_try import Charges
from tests.btard.round.test_views import Mute
from tests.peer.forgetful import Disk, Forgetful, Loss
from tests.quick import stride

STEP = 1
PAUSES = (0.001, 0.3, 2.0)
"""Seconds until it is started again: before its silence is noticed, while the others agree on it, and after that."""

DISKS = (Disk.KEPT, Disk.TORN, Disk.LOST)

LIARS: dict[str, tuple[int, Callable[[], dict[int, Behaviour]]]] = {
    "undisturbed": (4, dict),
    "no share": (5, lambda: {4: Mute()}),
    "court": (5, lambda: {4: Charges()}),
}
"""By what goes wrong in the step: how many peers there are, and which of them lie."""


def lost(story: str, loss: Loss, directory: Path, steps: int = 26) -> Forgetful:
    count, liars = LIARS[story]
    return Forgetful(count, loss, directory, steps=steps, behaviours=liars()).run()


def moments(story: str, peer: int, directory: Path) -> int:
    """Return how many moments the step has for a peer that does not die."""
    return lost(story, Loss(peer, STEP, sys.maxsize, 0.0, Disk.KEPT), directory, steps=STEP + 1).moments


@pytest.mark.parametrize("story", LIARS)
def test_a_loss_of_memory_costs_one_place_and_divides_nobody(story: str, tmp_path: Path) -> None:
    every = 8 if story == "undisturbed" else 24
    for number, moment in enumerate(range(0, moments(story, 0, tmp_path), every)):
        loss = Loss(number % 4, STEP, moment, PAUSES[number % len(PAUSES)], DISKS[number % len(DISKS)])
        lost(story, loss, tmp_path).check()


@pytest.mark.parametrize("moment", [1, 9, 17])
def test_one_that_comes_back_late_loses_its_place_once(moment: int, tmp_path: Path) -> None:
    swarm = lost("undisturbed", Loss(1, STEP, moment, 6.0, Disk.KEPT), tmp_path, steps=40)
    swarm.check()
    assert len(voids(swarm.peers[0])) == 1


@pytest.mark.parametrize("moment", [1, 9, 17])
def test_a_torn_file_lets_nobody_begin_the_run_again(moment: int, tmp_path: Path) -> None:
    swarm = lost("undisturbed", Loss(1, 0, moment, 0.001, Disk.TORN), tmp_path)
    swarm.check()
    assert swarm.events[0].step > 0, "it takes no part in the step in which it died"


@pytest.mark.slow
@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("peer", range(0, 4, stride(3)))
@pytest.mark.parametrize("story", LIARS)
def test_so_it_is_at_moments_all_over_the_step(story: str, peer: int, pause: float, disk: Disk, tmp_path: Path) -> None:
    # Together the cases go through each third moment of each story, for two peers; with TEST_EVERY=1 through all.
    first = len(DISKS) * PAUSES.index(pause) + DISKS.index(disk)
    for moment in range(first, moments(story, peer, tmp_path), stride(3) * len(DISKS) * len(PAUSES)):
        lost(story, Loss(peer, STEP, moment, pause, disk), tmp_path).check()
