"""That nobody is validated is told once when it begins and once when it is over, not in every step."""

from __future__ import annotations

import logging

import pytest

from btard.round.roster import Roster
from btard.swarm.telemetry.validation_watch import ValidationWatch
from tests.peer.helpers import PEERS


def roster(step: int, members: int, newcomers: int = 0) -> Roster:
    probation = tuple((peer, 99) for peer in PEERS[members - newcomers : members])
    return Roster(step, PEERS[:members], frozenset(), bytes(32), probation=probation)


def test_it_is_told_once_and_taken_back_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told: list[tuple[int, str | None]] = []
    watch = ValidationWatch(1.0, lambda step, words: told.append((step, words)))
    sizes = [5, 4, 3, 3, 2, 3, 4, 5]
    assert [watch.look(roster(step, size)) for step, size in enumerate(sizes)] == [size > 3 for size in sizes]
    assert caplog.messages == [
        "step 2: nobody is validated: 3 voters, 4 are needed",
        "step 6: validators are drawn again: 4 voters",
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
    assert told == [
        (2, "nobody is validated: 3 voters, 4 are needed"),
        (4, "nobody is validated: 2 voters, 4 are needed"),
        (5, "nobody is validated: 3 voters, 4 are needed"),
        (6, None),
    ]


def test_a_peer_on_probation_has_no_vote() -> None:
    watch = ValidationWatch(1.0)
    assert watch.look(roster(0, 5, newcomers=1))
    assert not watch.look(roster(1, 5, newcomers=2))


def test_a_run_without_validators_says_so(caplog: pytest.LogCaptureFixture) -> None:
    watch = ValidationWatch(0.0)
    assert not watch.look(roster(0, 5)) and not watch.look(roster(1, 4))
    assert caplog.messages == ["step 0: nobody is validated: the run is set to 0 validators"]
