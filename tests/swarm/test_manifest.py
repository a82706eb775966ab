"""The manifest: it goes round as JSON, says what a round needs, and nothing but Malformed comes of bad ones."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed, PeerId
from btard.round.rules import AggregationRules, VerificationRules
from btard.swarm.manifest import MAX_MANIFEST, Deadlines, RunManifest
from btard.swarm.members import MAX_LISTED
from btard.vocabulary import Eliminate, Validation
from tests.peer.helpers import KEYS, NONCE, RUN, run_manifest, signed_manifest

MANIFEST = run_manifest()
LISTED = tuple(sorted(str(key.peer_id) for key in KEYS[:3]))


def read(body: bytes, *, run: bytes = RUN) -> RunManifest:
    return RunManifest.from_envelope(signed_manifest(KEYS[0], body, run=run))


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(MANIFEST.model_dump_json()) | fields).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        run_manifest(max_grad_norm=None, start_step=3, state_digest="ab" * 32, checkpoint_at=(4, 9)),
        run_manifest(momentum=0.9),
        run_manifest(slowest=2.5),
        run_manifest(members=LISTED),
        run_manifest(task_settings={"width": 3, "bias": True, "noise": 0.5, "shade": "light"}),
        run_manifest(deadlines=Deadlines(commit=1.5, settle=0.1), seed=2**63 - 1, peers=256),
    ],
)
def test_a_manifest_goes_round(manifest: RunManifest) -> None:
    assert read(manifest.model_dump_json().encode(), run=manifest.run) == manifest


@pytest.mark.parametrize(
    "fields",
    [
        {"run_id": "00"},
        {"run_id": "zz" * 16},
        {"run_id": RUN.hex().upper()},
        {"nonce": "00"},
        {"nonce": None},
        {"experiment": ""},
        {"experiment": "x" * 101},
        {"fingerprint": "00"},
        {"dimension": 0},
        {"dimension": 2**40},
        {"dimension": 1.5},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"tau": -1},
        {"tau": None},
        {"precision": "fp8"},
        {"rule": "krum"},
        {"wire": "float64"},
        {"peers": 0},
        {"peers": 1025},
        {"seed": 2**63},
        {"total_steps": 0},
        {"start_step": 20},
        {"state_digest": "x"},
        {"deadlines": {"commit": 0}},
        {"deadlines": {"commit": 1e9}},
        {"deadlines": {"unknown": 1}},
        {"data": {"kind": "nowhere"}},
        {"unknown": 1},
        {"checkpoint_every": -1},
        {"metrics_period": 0},
        {"members": [*LISTED, "nonsense"]},
        {"members": LISTED[::-1]},
        {"members": [LISTED[0], LISTED[0]]},
        {"members": ["1" + LISTED[0]]},
        {"members": "12D3"},
        {"members": None},
        {"members": [str(PeerId.from_public_key(n.to_bytes(32, "big"))) for n in range(MAX_LISTED + 1)]},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": float("nan")},
        {"validators": -1},
        {"validators": float("inf")},
        {"validation": "none"},
        {"accuse": 0},
        {"convict": 0.05},
        {"eliminate": "both"},
        {"probation": -1},
        {"slowest": 1.4},
        {"slowest": 101},
        {"slowest": None},
        {"max_part_norm": 0},
        {"task_settings": None},
        {"task_settings": []},
        {"task_settings": {"width": None}},
        {"task_settings": {"width": [1]}},
        {"task_settings": {"width": {"of": 1}}},
        {"task_settings": {"width": 2**63}},
        {"task_settings": {"width": -1e19}},
        {"task_settings": {"width": float("inf")}},
        {"task_settings": {"width": "../../etc/passwd"}},
        {"task_settings": {"width": "a" * 51}},
        {"task_settings": {"__class__": 1}},
        {"task_settings": {"": 1}},
        {"task_settings": {f"a{i}": 1 for i in range(51)}},
    ],
    ids=str,
)
def test_a_value_out_of_range_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="no valid manifest"):
        read(changed(**fields))


def test_a_task_without_settings_leaves_no_trace() -> None:
    body = MANIFEST.model_dump_json()
    assert "task_settings" not in json.loads(body) and "task_settings" not in MANIFEST.model_dump()
    assert read(body.encode()).task_settings == {}
    with_settings = run_manifest(task_settings={"width": 3})
    assert json.loads(with_settings.model_dump_json())["task_settings"] == {"width": 3}
    assert str(with_settings.chosen_task) == "digits:width=3" and str(MANIFEST.chosen_task) == "digits"


def test_how_slow_is_too_slow_is_a_rule_unless_it_is_the_usual() -> None:
    body = json.loads(MANIFEST.model_dump_json())
    assert "slowest" not in body and MANIFEST.slowest == 3.0
    assert run_manifest(slowest=3).run == MANIFEST.run, "runs without it keep their names"
    patient = run_manifest(slowest=6)
    assert json.loads(patient.model_dump_json())["slowest"] == 6.0
    assert patient.run != MANIFEST.run and patient.step_rules.patience == 6.0
    assert (MANIFEST.step_rules.slowest, MANIFEST.step_rules.patience) == (None, 3.0)


def test_a_setting_keeps_its_type() -> None:
    values = {"a": True, "b": 1, "c": 1.0, "d": "1"}
    found = read(changed(task_settings=values)).task_settings
    assert [(key, type(value)) for key, value in found.items()] == [(key, type(value)) for key, value in values.items()]


def test_a_missing_field_is_malformed() -> None:
    fields = json.loads(MANIFEST.model_dump_json())
    del fields["tau"]
    with pytest.raises(Malformed, match="no valid manifest"):
        read(json.dumps(fields).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.just(b"[" * 10_000))
def test_junk_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


@given(st.data())
def test_a_damaged_manifest_is_malformed_or_another_one(data: st.DataObject) -> None:
    body = bytearray(MANIFEST.model_dump_json().encode())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert read(bytes(body)) != MANIFEST


def test_a_manifest_that_is_too_long_is_not_read() -> None:
    body = MANIFEST.model_dump_json().encode()
    assert read(body + b" " * (MAX_MANIFEST - len(body))) == MANIFEST
    with pytest.raises(Malformed, match="too long"):
        read(body + b" " * (MAX_MANIFEST + 1 - len(body)))


@pytest.mark.parametrize(
    "fields",
    [
        {"tau": 2.0},
        {"momentum": 0.9},
        {"wire": "float16"},
        {"eliminate": "mutual"},
        {"deadlines": {"settle": 4.0}},
        {"nonce": "00" * 16},
        {"run_id": "00" * 16},
    ],
    ids=str,
)
def test_a_run_that_its_rules_do_not_name_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=r"it names the run [0-9a-f]{32}, but its rules and its nonce make the run"):
        read(changed(**fields))


def test_a_list_of_members_is_left_out_where_there_is_none() -> None:
    assert b"members" not in MANIFEST.model_dump_json().encode()
    assert all(MANIFEST.admits(key.peer_id) for key in KEYS)
    closed = run_manifest(members=LISTED)
    assert closed.run == MANIFEST.run and json.loads(closed.model_dump_json())["members"] == list(LISTED)
    assert [closed.admits(key.peer_id) for key in KEYS] == [True] * 3 + [False] * 3


def test_the_longest_list_of_members_fits() -> None:
    longest = tuple(sorted(str(PeerId.from_public_key(n.to_bytes(32, "big"))) for n in range(MAX_LISTED)))
    manifest = run_manifest(members=longest, checkpoint_at=tuple(range(10**8, 10**8 + 1024)))
    assert read(manifest.model_dump_json().encode(), run=manifest.run) == manifest


def test_only_rules_of_a_step_make_another_run() -> None:
    assert run_manifest(tau=2.0).run != run_manifest(nonce="00" * 16).run != MANIFEST.run
    assert run_manifest(experiment="of another name", metrics_period=9.0).run == MANIFEST.run


def test_a_manifest_of_another_run_is_refused() -> None:
    with pytest.raises(Malformed, match="names another run"):
        read(MANIFEST.model_dump_json().encode(), run=bytes(16))


def test_what_a_round_and_the_aggregation_need() -> None:
    strict = {"validators": 1.5, "validation": "exact", "accuse": 0.2, "convict": 0.1, "eliminate": "mutual"}
    rules = run_manifest(max_part_norm=3.0, momentum=0.5, probation=7, **strict).step_rules
    assert (rules.nonce, rules.dimension, rules.wire) == (NONCE, MANIFEST.dimension, MANIFEST.wire)
    assert (
        rules.commit_seconds,
        rules.scatter_seconds,
        rules.gather_seconds,
        rules.agree_seconds,
        rules.delay_bound_seconds,
    ) == (120.0, 60.0, 60.0, 20.0, 3.5)
    assert rules.aggregation == AggregationRules(MANIFEST.rule, 1.0, 5, 3.0)
    assert rules.verification == VerificationRules(1.5, Validation.EXACT, 0.2, 0.1, Eliminate.MUTUAL, 7, 0.5)


def test_thresholds_let_each_accused_peer_be_convicted() -> None:
    for convict in (0.05, 0.1):
        run_manifest(accuse=0.2, convict=convict)
    # Honest machines differ by a tenth of what accuses: neither limit may lie so near to the other, or to them.
    for convict in (0.049, 0.101, 0.19):
        with pytest.raises(ValueError, match="must lie between a quarter and a half of accuse"):
            run_manifest(accuse=0.2, convict=convict)
    for convict in (0.2, 0.3):
        with pytest.raises(ValueError, match="must be below accuse"):
            run_manifest(accuse=0.2, convict=convict)


@pytest.mark.parametrize(
    "fields, steps",
    [
        ({}, [20]),
        ({"checkpoint_every": 7}, [7, 14, 20]),
        ({"checkpoint_every": 10}, [10, 20]),
        ({"checkpoint_at": (3, 11)}, [3, 11, 20]),
        ({"checkpoint_every": 5, "start_step": 10, "checkpoint_at": (10, 12)}, [12, 15, 20]),
    ],
)
def test_snapshots_are_due_at_checkpoints_and_the_end(fields: dict[str, Any], steps: list[int]) -> None:
    manifest = run_manifest(**fields)
    assert [step for step in range(manifest.start_step, 21) if manifest.wants_snapshot(step)] == steps
