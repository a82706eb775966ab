"""Whatever a stranger's records and files of evidence say, nothing that they name is touched, and no terminal obeys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from btard.cli.roster import history
from btard.cli.status import headline, table
from btard.coordinator.dashboard.model import RunModel
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.metrics import MetricsBoard
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.peer.visit.overview import overview
from btard.peer.visit.sight import Sight
from btard.round.evidence.file import from_json
from btard.round.roster import Roster, first_randomness
from btard.swarm.bans import BanBook, Bans
from btard.swarm.events.coordinator import CoordinatorEvent
from btard.swarm.events.log import EventLog
from btard.swarm.events.reading import parse_coordinator
from btard.swarm.records.record import Join, Metrics, Record, RosterRecord, read_records
from btard.transport.stages import Stage
from tests.peer.helpers import KEYS, PEERS, RUN, run_manifest
from tests.swarm.events.lines import coordinator_event
from tests.watch import watching

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\nERROR banned"
PATH = "../../../../etc/passwd"
MANIFEST = run_manifest()
TRUSTED = Roster(9, PEERS[:5], frozenset({PEERS[5]}), first_randomness(0, 9))
DETAILS: dict[str, Any] = {
    "version": "1",
    "numerics": "torch",
    "bytes_sent": 1,
    "bytes_received": 1,
    "step": 7,
    "stages": [0.0] * len(Stage),
    "examined": [],
    "excluded": [],
}
STEP = {"step": 7, "samples_per_second": 1.0, "samples_accumulated": 8, "loss": 0.5, "mini_steps": 1}
EXCLUDED = {"step": 7, "peer": str(PEERS[1]), "reason": "late"}
BAN = {"peer": str(PEERS[5]), "step": 3, "offence": "GRADIENT", "evidence": "0" * 64}


def metrics(**details: Any) -> dict[str, Any]:
    return {"steps": [STEP], "details": DETAILS | details}


HOSTILE: list[tuple[MessageKind, type[Record], dict[str, Any]]] = [
    *(
        (MessageKind.METRICS, Metrics, metrics(**{name: word}))
        for name in ("version", "numerics")
        for word in (ESCAPE, PATH, "<script>alert(1)</script>", "x" * 10_000)
    ),
    *(
        (MessageKind.METRICS, Metrics, metrics(excluded=[EXCLUDED | changed]))
        for changed in ({"reason": ESCAPE}, {"reason": PATH}, {"peer": PATH}, {"peer": "x" * 45}, {"reason": "x" * 500})
    ),
    (MessageKind.METRICS, Metrics, metrics(step=2**61)),
    (MessageKind.METRICS, Metrics, metrics(examined=[{"step": 7, "target": PATH, "found": "same"}])),
    (MessageKind.BANS, Bans, {"bans": [BAN | {"offence": ESCAPE}]}),
    (MessageKind.BANS, Bans, {"bans": [BAN | {"offence": PATH}]}),
    (MessageKind.BANS, Bans, {"bans": [BAN | {"peer": PATH}]}),
    (MessageKind.BANS, Bans, {"bans": [BAN | {"evidence": PATH}]}),
    (MessageKind.JOIN, Join, {"fingerprint": ESCAPE, "maddrs": ["/unix/etc/passwd", PATH, ESCAPE], "time": 1e6}),
    (MessageKind.GENESIS, RosterRecord, {"roster": PATH}),
    (MessageKind.GENESIS, RosterRecord, {"roster": "00" * 40}),
]


def sight(kind: MessageKind, records: dict[PeerId, Any]) -> Sight:
    told = {name: records if kind is which else {} for name, which in TOLD.items()}
    waiting = frozenset(PEERS[4:])
    return Sight(
        time=1e6, coordinator=PEERS[5], manifest=MANIFEST, roster=TRUSTED, waiting=waiting, finished=False, **told
    )


TOLD = {"joins": MessageKind.JOIN, "metrics": MessageKind.METRICS, "bans": MessageKind.BANS}


@pytest.mark.parametrize(
    ("kind", "schema", "body"), HOSTILE, ids=[f"{k.name}-{i}" for i, (k, _, _) in enumerate(HOSTILE)]
)
def test_a_record_reaches_no_file_and_no_terminal(
    kind: MessageKind, schema: type[Record], body: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All members tell the same: what most of them tell is what is shown."""
    from rich.console import Console

    sent = {
        key.peer_id: Envelope.sign(key, run=RUN, step=0, kind=kind, body=json.dumps(body).encode()) for key in KEYS[:5]
    }
    directory = RunDirectory(tmp_path / "run")
    log = EventLog[CoordinatorEvent](directory.events)
    board = MetricsBoard(MANIFEST, directory, patience_seconds=0.0, details=DetailsBoard(directory, log))
    with watching([Path("/etc/passwd")]) as touched:
        records = read_records(sent, schema, RUN, kind)
        if kind is MessageKind.METRICS:
            board.take(sent, TRUSTED)
        if kind is MessageKind.GENESIS:
            for record in records.values():
                assert isinstance(record, RosterRecord)
                with pytest.raises(Malformed):
                    record.unpack()
            records = {}
        found = overview(sight(kind, records))
    assert touched.canaries == [] and touched.outside(tmp_path) == []
    assert (touched.ran, touched.connected) == ([], [])

    events = [event for line in directory.events.read_bytes().splitlines() if (event := parse_coordinator(line))]
    assert len(events) == len(directory.events.read_bytes().splitlines())
    lines = [headline(found).replace("\n", ""), *(ban.words for ban in found.bans)]
    lines += [entry.sentence for entry in history(events)]
    console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table(found))
    lines += console.export_text().splitlines()
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    assert "passwd" not in "".join(f"{join.maddrs}" for join in records.values() if isinstance(join, Join))
    page = RunModel()
    for event in events:
        page.feed_event(event)
    if directory.peers_file.exists():
        page.feed_peers(json.loads(directory.peers_file.read_text()))
    shown = json.dumps(page.sections())
    assert "\\u001b" not in shown and "\\u202e" not in shown and len(shown) < 100_000


@pytest.mark.parametrize(
    "evidence",
    [PATH, "/etc/passwd", "a/../../b.json", "..", ".hidden.json", "a.json\n", "a\x00.json", "x" * 999],
)
def test_the_page_hands_out_no_file_that_an_event_names(evidence: str) -> None:
    page = RunModel()
    page.feed_event(coordinator_event("verified", evidence=evidence))
    (ban,) = json.loads(json.dumps(page.sections()))["bans"]
    assert ban["evidence"] is None or "/" not in ban["evidence"]
    assert not page.evidence("../../../../etc/passwd") and not page.evidence("/etc/passwd") and not page.evidence("..")


@pytest.mark.parametrize(
    "shown",
    [b"", b"null", b"\x80\x04N.", json.dumps({"evidence": PATH}).encode(), json.dumps({"accused": PATH}).encode()],
)
async def test_what_is_shown_as_evidence_is_written_nowhere(shown: bytes, tmp_path: Path) -> None:
    async def ask(source: PeerId, banned: PeerId) -> bytes | None:
        return shown

    book = BanBook(tmp_path / "bans", MANIFEST.step_rules)
    with watching() as touched:
        verified, unproven = await book.verify_all(ask, {PEERS[5]}, PEERS[:3])
    assert (verified, unproven) == ([], [PEERS[5]])
    assert touched.outside() == [] and touched.ran == []
    assert not (tmp_path / "bans").exists()
    with pytest.raises(Malformed):
        from_json(shown)
