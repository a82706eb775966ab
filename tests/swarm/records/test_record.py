"""Records in the DHT: they go round, belong to one run and kind, are bounded, and strangers' junk is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.hashing import digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.draw import Audit
from btard.round.roster import Roster
from btard.swarm.records.record import (
    MAX_BODY,
    MAX_METRICS,
    Join,
    LocalMetrics,
    Metrics,
    Record,
    RosterRecord,
    read_records,
)
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN

JOIN = Join(fingerprint="f", maddrs=["/ip4/127.0.0.1/tcp/1"], time=12.5)
STEP = LocalMetrics(step=1, samples_per_second=2.5, samples_accumulated=8, loss=0.5, mini_steps=1)
EXAMPLES = [
    (JOIN, MessageKind.JOIN),
    (Metrics(steps=[STEP]), MessageKind.METRICS),
    (RosterRecord.of(ROSTER), MessageKind.GENESIS),
    (RosterRecord.of(ROSTER, finished=True), MessageKind.GENESIS),
]


def envelope(body: bytes, kind: MessageKind, *, run: bytes = RUN, author: int = 0) -> Envelope:
    return Envelope.sign(KEYS[author], run=run, step=0, kind=kind, body=body)


def test_a_roster_of_256_and_its_memory_fit_a_record() -> None:
    names = sorted(PeerId.from_public_key(digest(bytes([number % 256, number // 256]))) for number in range(256 + 40))
    roster = Roster(0, tuple(names[:256]), frozenset(), bytes(32))
    for step in range(40):
        stay = [peer for peer in roster.members if peer not in names[: min(126, 4 * step)]]
        audits = tuple(Audit(peer, stay[0]) for peer in stay[-16:])
        joined = names[256 + step : 257 + step]
        roster = roster.successor(stay, joined, names[126:128], randomness=bytes(32), audits=audits, probation_steps=20)
    assert len(roster.former) == 126 and len(roster.banned) == 2 and len(roster.probation) == 20
    assert len(roster.members) + len(roster.former) + len(roster.banned) == 256 + 40
    record = RosterRecord.of(roster)
    assert record.unpack() == roster
    assert len(record.model_dump_json()) < MAX_BODY


@pytest.mark.parametrize("record, kind", EXAMPLES)
def test_a_record_goes_round(record: Record, kind: MessageKind) -> None:
    signed = Envelope.decode(record.sign(KEYS[0], RUN, kind).encode())
    assert signed.author == PEERS[0]
    assert type(record).read(signed, RUN, kind) == record


@pytest.mark.parametrize("record, kind", EXAMPLES)
def test_a_record_of_another_run_or_kind_is_malformed(record: Record, kind: MessageKind) -> None:
    body = record.model_dump_json().encode()
    for wrong in (envelope(body, kind, run=bytes(16)), envelope(body, MessageKind.MANIFEST)):
        with pytest.raises(Malformed, match=f"no {kind.name} record of this run"):
            type(record).read(wrong, RUN, kind)


@pytest.mark.parametrize(
    "schema, kind, fields",
    [
        (Join, MessageKind.JOIN, {"fingerprint": "f", "maddrs": ["x"] * 9, "time": 1.0}),
        (Join, MessageKind.JOIN, {"fingerprint": "f", "maddrs": ["x" * 257], "time": 1.0}),
        (Join, MessageKind.JOIN, {"fingerprint": "f" * 257, "maddrs": [], "time": 1.0}),
        (Join, MessageKind.JOIN, {"fingerprint": "f", "maddrs": [], "time": "1"}),
        (Join, MessageKind.JOIN, {"fingerprint": "f", "maddrs": [], "time": 1.0, "more": 1}),
        (Join, MessageKind.JOIN, {"fingerprint": "f", "maddrs": []}),
        (Metrics, MessageKind.METRICS, {"steps": []}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump()] * (MAX_METRICS + 1)}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"loss": float("nan")}]}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"samples_per_second": float("inf")}]}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"samples_per_second": -1.0}]}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"step": -1}]}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"step": 2**62}]}),
        (Metrics, MessageKind.METRICS, {"steps": [STEP.model_dump() | {"mini_steps": True}]}),
        (RosterRecord, MessageKind.GENESIS, {"roster": 1}),
        (RosterRecord, MessageKind.GENESIS, {"roster": "00", "finished": "no"}),
    ],
)
def test_a_body_of_another_schema_is_malformed(schema: type[Record], kind: MessageKind, fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=f"no valid {kind.name} record"):
        schema.read(envelope(json.dumps(fields).encode(), kind), RUN, kind)


@given(st.binary(max_size=80))
def test_junk_is_malformed(body: bytes) -> None:
    for schema in (Join, Metrics, RosterRecord):
        with pytest.raises(Malformed):
            schema.read(envelope(body, MessageKind.JOIN), RUN, MessageKind.JOIN)


def test_a_body_that_is_too_long_is_malformed() -> None:
    body = JOIN.model_dump_json().encode()
    assert Join.read(envelope(body.ljust(MAX_BODY), MessageKind.JOIN), RUN, MessageKind.JOIN) == JOIN
    with pytest.raises(Malformed, match="no JOIN record"):
        Join.read(envelope(body.ljust(MAX_BODY + 1), MessageKind.JOIN), RUN, MessageKind.JOIN)


def test_a_full_record_of_metrics_fits() -> None:
    step = STEP.model_copy(update={"step": 2**62 - 1, "samples_accumulated": 2**62 - 1, "samples_per_second": 1 / 3})
    record = Metrics(steps=[step] * MAX_METRICS)
    assert Metrics.read(record.sign(KEYS[0], RUN, MessageKind.METRICS), RUN, MessageKind.METRICS) == record


def test_a_roster_goes_round_and_other_bytes_are_malformed() -> None:
    assert RosterRecord.of(ROSTER).unpack() == ROSTER
    for text in ("", "zz", "0", "00", "c0", "\N{SNOWMAN}", "91" * 5000, RosterRecord.of(ROSTER).roster + "00"):
        with pytest.raises(Malformed):
            RosterRecord(roster=text).unpack()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_an_announcement_of_no_time_is_malformed(value: str) -> None:
    body = json.dumps(JOIN.model_dump() | {"time": 0}).replace('"time": 0', f'"time": {value}').encode()
    with pytest.raises(Malformed):
        Join.read(envelope(body, MessageKind.JOIN), RUN, MessageKind.JOIN)


def test_bad_records_are_left_out_of_the_good_ones() -> None:
    found = {
        PEERS[0]: JOIN.sign(KEYS[0], RUN, MessageKind.JOIN),
        PEERS[1]: envelope(b"{}", MessageKind.JOIN, author=1),
        PEERS[2]: JOIN.sign(KEYS[2], bytes(16), MessageKind.JOIN),
        PEERS[3]: JOIN.sign(KEYS[3], RUN, MessageKind.METRICS),
    }
    assert read_records(found, Join, RUN, MessageKind.JOIN) == {PEERS[0]: JOIN}
