"""What a peer publishes of itself fits its schema, its bounds and a record, whatever has happened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError

from btard.behaviour import Behaviour
from btard.identity import Envelope, MessageKind
from btard.peer.keeping import reports as module
from btard.peer.keeping.reports import REPORTS_FILE, KeptReports
from btard.peer.telemetry.reporting import Reporter
from btard.peer.trainer import Gradient
from btard.round.messages.accusations import Opinion
from btard.round.work.examination import UNKNOWN, UNSEEN, Finding
from btard.swarm.records.details import MAX_REASON, MAX_TOLD, Found, PeerDetails
from btard.swarm.records.record import MAX_ANSWERED_REPORTS, MAX_BODY, MAX_METRICS, MAX_REPORTS, Metrics, Reports
from btard.transport.libp2p import Counters, Records
from btard.transport.stages import Stage
from tests.peer.helpers import KEYS, PEERS, RUN, run_manifest

STAGES = dict.fromkeys(Stage, 0.25)
GRADIENT = Gradient(torch.zeros(1), b"", 1.5, 0.1)


class Kept:
    """Stands for the DHT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.envelopes: list[Envelope] = []

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        self.envelopes.append(envelope)

    @property
    def latest(self) -> Metrics:
        return Metrics.read(self.envelopes[-1], RUN, MessageKind.METRICS)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def reporter(kept: Kept, counters: Counters | None = None) -> Reporter:
    manifest, told = run_manifest(), counters or Counters()
    reports = KeptReports(kept.folder / REPORTS_FILE, manifest.run_id)
    return Reporter(cast(Records, kept), KEYS[0], manifest, Behaviour(), told, "torch, a machine", reports)


def test_a_step_is_told_with_its_stages_and_the_traffic(kept: Kept) -> None:
    ours = reporter(kept, Counters(bytes_sent=10, bytes_received=20))
    ours.add(3, GRADIENT)
    ours.finished(3, STAGES)
    asyncio.run(ours.publish())
    details = kept.latest.details
    assert details is not None and kept.latest.steps[0].loss == 1.5
    assert (details.step, details.bytes_sent, details.bytes_received) == (3, 10, 20)
    assert details.stages == [0.25] * len(Stage) and details.numerics == "torch, a machine"


def test_a_validator_that_computed_nothing_tells_its_findings(kept: Kept) -> None:
    ours = reporter(kept)
    ours.add(1, GRADIENT)
    ours.finished(1, STAGES)
    asyncio.run(ours.publish())
    ours.examined(2, PEERS[1], Finding(Opinion.GUILTY, True, 9.0))
    ours.examined(2, PEERS[1], UNKNOWN)
    ours.finished(2, STAGES)
    asyncio.run(ours.publish())
    asyncio.run(ours.publish())
    assert len(kept.envelopes) == 2
    details = kept.latest.details
    assert details is not None
    assert [(each.step, each.target, each.found) for each in details.examined] == [(2, str(PEERS[1]), Found.DIFFERS)]


@pytest.mark.parametrize(
    ("finding", "found"),
    [
        (Finding(Opinion.INNOCENT, False, 0.0), Found.SAME),
        (Finding(Opinion.UNSURE, False, 0.03), Found.UNKNOWN),
        (UNKNOWN, Found.UNKNOWN),
        (UNSEEN, Found.WITHHELD),
    ],
)
def test_findings_in_a_word(kept: Kept, finding: Finding, found: Found) -> None:
    ours = reporter(kept)
    ours.add(1, GRADIENT)
    ours.examined(1, PEERS[1], finding)
    ours.finished(1, STAGES)
    asyncio.run(ours.publish())
    assert kept.latest.details is not None and kept.latest.details.examined[0].found is found


def test_the_fullest_record_fits(kept: Kept) -> None:
    ours = reporter(kept, Counters(bytes_sent=2**61, bytes_received=2**61))
    for step in range(2**50, 2**50 + 2 * MAX_METRICS):
        ours.add(step, Gradient(torch.zeros(1), b"", 1.23456789012345e-200, 1e-7 / 3))
        ours.examined(step, PEERS[1], UNSEEN)
        ours.excluded(step, PEERS[2], '"\\' * MAX_REASON)
        ours.finished(step, dict.fromkeys(Stage, 123456.789123))
    asyncio.run(ours.publish())
    assert len(kept.envelopes[-1].body) < MAX_BODY
    details = kept.latest.details
    assert details is not None and len(details.examined) == len(details.excluded) == MAX_TOLD


@pytest.mark.parametrize(
    "lie",
    [
        {"stages": [0.0]},
        {"stages": [-1.0] * len(Stage)},
        {"stages": [float("inf")] * len(Stage)},
        {"version": "v" * 33},
        {"bytes_sent": -1},
        {"bytes_sent": 1.5},
        {"examined": [{"step": 1, "target": "<script>", "found": "same"}]},
        {"examined": [{"step": 1, "target": "1" * 52, "found": "guilty"}]},
        {"excluded": [{"step": 1, "peer": "1" * 52, "reason": "x" * 161}]},
        {"excluded": [{"step": 1, "peer": "1" * 52, "reason": "x"}] * (MAX_TOLD + 1)},
        {"more": 1},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(lie: dict[str, Any]) -> None:
    true: dict[str, Any] = {
        "version": "1",
        "numerics": "",
        "bytes_sent": 0,
        "bytes_received": 0,
        "step": 0,
        "stages": [0.0] * len(Stage),
        "examined": [],
        "excluded": [],
    }
    PeerDetails.model_validate(true)
    with pytest.raises(ValidationError):
        PeerDetails.model_validate(true | lie)


def test_earlier_steps_are_remembered_beside_the_record(kept: Kept) -> None:
    ours = reporter(kept)
    for step in range(MAX_METRICS + 500):
        ours.add(step, GRADIENT)
    asyncio.run(ours.publish())
    assert [each.step for each in kept.latest.steps] == list(range(500, MAX_METRICS + 500))
    told = ours.since(100)
    assert len(told) <= MAX_ANSWERED_REPORTS
    assert [each.step for each in Reports.decode(told).steps] == list(range(100, 100 + MAX_REPORTS))
    assert Reports.decode(ours.since(10**6)).steps == []


def test_reports_outlive_the_peer(kept: Kept) -> None:
    ours = reporter(kept)
    for step in range(MAX_METRICS + 10):
        ours.add(step, GRADIENT)
    samples = (MAX_METRICS + 10) * run_manifest().batch_size
    again = reporter(kept)
    assert [each.step for each in Reports.decode(again.since(0)).steps] == list(range(MAX_METRICS + 10))
    asyncio.run(again.publish())
    assert [each.step for each in kept.latest.steps] == list(range(10, MAX_METRICS + 10))
    again.add(MAX_METRICS + 10, GRADIENT)
    asyncio.run(again.publish())
    assert kept.latest.steps[-1].samples_accumulated == samples + run_manifest().batch_size


def test_what_is_remembered_is_bounded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 100)
    ours = reporter(kept)
    for step in range(150):
        ours.add(step, GRADIENT)
    assert Reports.decode(ours.since(0)).steps[0].step == 50
