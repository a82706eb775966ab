"""What a visitor is told of a run in stages, and the one sentence where nobody tells."""

from __future__ import annotations

from typing import Any

import pytest

from btard.errors import UserError
from btard.peer.visit.stages import StageOverview, look_at_stages, stage_overview
from btard.swarm.questions import Directory, Question, Want
from btard.swarm.records.stages import StageBanRow, StageLine, StageRow
from btard.transport.libp2p import FetchError
from tests.coordinator.swarm import ids, manifest
from tests.coordinator.test_pipeline_terms import TERMS

FIRST, SECOND, IDLE, LIAR, COORDINATOR = ids(1, 2, 3, 4, 5)
RUN = manifest(pipeline=TERMS, batch_size=4)


def line(seating: int = 1, **changes: Any) -> StageLine:
    rows = [
        StageRow(stage=0, blocks=2, peer=str(FIRST), number=1, step=8, seconds=0.5, sent_bytes=10, received_bytes=20),
        StageRow(stage=1, blocks=1, peer=str(SECOND), number=1, step=7, seconds=0.25, loss=1.5, passed_by=1),
    ]
    ban = StageBanRow(peer=str(LIAR), stage=1, step=3, offence="NORMS", words="in step 3 it told false norms")
    given: dict[str, Any] = {"seating": seating, "over": False, "lost": [], "stages": rows, "bans": [ban]}
    return StageLine(**given | changes)


class Answers:
    """A transport on which the coordinator answers with these bytes."""

    def __init__(self, told: bytes | None) -> None:
        self.told = told

    async def fetch(self, peer: Any, data: bytes, *, limit: int, timeout_seconds: float) -> bytes:
        want = Question.decode(data).want
        if peer != COORDINATOR or self.told is None:
            raise FetchError("it is not here")
        if want is Want.ADDRESSES:
            return Directory({}, (IDLE, FIRST, LIAR)).encode()
        assert want is Want.STAGES
        return self.told


async def seen(told: bytes | None) -> StageOverview:
    return stage_overview(await look_at_stages(Answers(told), COORDINATOR, RUN, 1.0))  # type: ignore[arg-type]


async def test_the_last_stage_tells_where_a_run_stands() -> None:
    found = await seen(line().encode())
    assert (found.step, found.loss, found.seating, found.finished) == (7, 1.5, 1, False)
    assert TERMS["micro_batches"] * 4 / 0.25 == found.samples_per_second
    assert found.as_json()["stages"][1]["passed_by"] == 1 and found.as_json()["bans"][0]["stage"] == 1


async def test_neither_the_seated_nor_the_banned_wait() -> None:
    assert (await seen(line().encode())).waiting == (str(IDLE),)


async def test_before_the_first_seating_it_is_told_how_many_are_here() -> None:
    empty = [StageRow(stage=n, blocks=1, peer="") for n in range(2)]
    found = await seen(line(0, stages=empty, bans=[]).encode())
    assert found.awaited == "waiting for the first seating: 3 of 2 are here"
    assert (found.step, found.loss, found.samples_per_second) == (None, None, 0.0)
    assert (await seen(line().encode())).awaited is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "does not answer; it may be away"),
        (b"nonsense", "cannot be read"),
        (line(stages=[StageRow(stage=0, blocks=1, peer="")]).encode(), "tells of 1 stages, but the run has 2"),
    ],
)
async def test_a_sentence_where_the_stages_are_not_told(told: bytes | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        await seen(told)
