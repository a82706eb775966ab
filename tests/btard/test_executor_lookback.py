"""A validator that looks back at an incarnation that is over accuses only where most can look at the very same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from btard.hashing import digest
from btard.identity import PeerId
from btard.round.actions import Examine
from btard.round.messages.accusations import Opinion
from btard.round.work.answers import TargetExamined
from btard.round.work.examination import UNKNOWN
from tests.btard.test_executor import RECORD, ROSTER, TARGET, Showing, at_once, executor, promising

OURS, THEIRS = RECORD.said.transcript(), digest(b"another transcript")
EXAMINE = Examine(1, TARGET, RECORD, None, judges=ROSTER.members)


@dataclasses.dataclass
class Telling(Showing):
    """Voters that tell of these transcripts."""

    told: Sequence[bytes] = ()

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        assert (step, set(holders)) == (0, set(ROSTER.members[1:])), "all others are asked, about the step before"
        return self.told


def found(told: Sequence[bytes], task: Examine = EXAMINE, *, lied: bool = True) -> TargetExamined:
    """Return what a validator finds about a vector that is far off, or right, where voters tell of transcripts."""
    looking = executor(showing=Telling(told=told))
    if lied:
        looking._trainer.gradient = lambda seed, parameters: torch.full((RECORD.seats.rules.dimension,), 9.0)  # type: ignore[attr-defined]
    answer = at_once(looking.carry_out(task))
    assert isinstance(answer, TargetExamined) and answer.recomputed is not None
    return answer


def test_a_lie_that_most_can_look_at_is_accused_of() -> None:
    answer = found([OURS, THEIRS, OURS])
    assert answer.finding.accuse and answer.finding.opinion is Opinion.GUILTY


def test_a_lie_that_few_can_look_at_is_nobodys_business() -> None:
    for told in ([], [OURS], [OURS, THEIRS, THEIRS, THEIRS]):
        assert found(told).finding == UNKNOWN


def test_the_truth_is_found_without_asking_anybody() -> None:
    assert found([], lied=False).finding.opinion is Opinion.INNOCENT


def test_what_may_be_lost_with_a_disk_is_not_withheld() -> None:
    looking = executor(momentum=0.5, showing=Telling(told=[OURS] * 4))
    task = Examine(1, TARGET, promising(digest(b"base")), None, judges=ROSTER.members)
    answer = at_once(looking.carry_out(task))
    assert isinstance(answer, TargetExamined) and answer.finding == UNKNOWN


def test_judges_and_ordinary_validators_ask_nobody() -> None:
    told: list[bytes] = []
    ordinary = dataclasses.replace(EXAMINE, judges=())
    assert found(told, ordinary).finding.accuse
