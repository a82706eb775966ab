"""What a coordinator answers about its stages is read strictly, since anybody may answer in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from btard.identity import Malformed
from btard.swarm.pipeline_terms import MOST_STAGES
from btard.swarm.records.stages import MAX_STAGE_LINE, MOST_TOLD_BANS, StageBanRow, StageLine, StageRow
from tests.coordinator.swarm import ids

PEER = str(ids(1)[0])
MOST = 2**62 - 1
ROW = StageRow(stage=0, blocks=1, peer=PEER, number=1, step=4, seconds=0.5, sent_bytes=7, received_bytes=8)
BAN = StageBanRow(peer=PEER, stage=1, step=3, offence="NORMS", words="told norms")
LINE = StageLine(seating=1, over=False, lost=[], stages=[ROW], bans=[BAN])


def changed(**changes: Any) -> bytes:
    return json.dumps({**LINE.model_dump(), **changes}).encode()


def test_a_line_of_stages_is_read_as_it_was_told() -> None:
    assert StageLine.decode(LINE.encode()) == LINE
    assert StageLine.decode(changed(stages=[{"stage": 0, "blocks": 1, "peer": ""}])).stages[0].step is None


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": []},
        {"stages": [{**ROW.model_dump(), "stage": 1}]},
        {"stages": [ROW.model_dump(), ROW.model_dump()]},
        {"stages": [{**ROW.model_dump(), "peer": "\x1b[2J"}]},
        {"stages": [{**ROW.model_dump(), "seconds": float("nan")}]},
        {"stages": [{**ROW.model_dump(), "loss": float("inf")}]},
        {"stages": [{**ROW.model_dump(), "sent_bytes": -1}]},
        {"bans": [{**BAN.model_dump(), "words": "\x1b]0;owned\x07"}]},
        {"bans": [BAN.model_dump()] * (MOST_TOLD_BANS + 1)},
        {"seating": "1"},
        {"more": 1},
    ],
)
def test_what_no_coordinator_tells_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        StageLine.decode(changed(**changes))


def test_the_longest_line_fits_into_an_answer() -> None:
    numbers = dict.fromkeys(
        ("number", "step", "sent_bytes", "received_bytes", "checks", "alarms", "passed_by", "blocks"), MOST
    )
    rows = [StageRow(**{**numbers, "stage": n, "peer": PEER, "seconds": 1 / 3, "loss": 1 / 3}) for n in range(256)]
    bans = [StageBanRow(peer=PEER, stage=MOST, step=MOST, offence="x" * 64, words="x" * 200)] * MOST_TOLD_BANS
    line = StageLine(seating=MOST, over=False, lost=list(range(MOST_STAGES)), stages=rows, bans=bans)
    assert len(line.encode()) <= MAX_STAGE_LINE
