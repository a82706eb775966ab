"""Joining: the right run is found, and every reason against it is one sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from btard.errors import UserError
from btard.identity import Envelope, MessageKind, PeerId
from peer import joining
from peer.joining import check_local_settings, find_manifest, load_run_task, read_roster, wait_for_roster
from peer.manifest import MANIFEST_KEY, PROTOCOL_VERSION
from peer.records import RosterRecord, roster_key
from peer.settings import PeerSettings
from tasks.data.public import PublicData, PublicKind
from tasks.data.spec import DataSpec
from tasks.registry import load_task
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, TableRecords, run_manifest, signed_manifest

MANIFEST = run_manifest()
BODY = MANIFEST.model_dump_json().encode()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "POLL", 0.001)


def announced(*numbers: int, body: bytes = BODY) -> Any:
    return TableRecords({MANIFEST_KEY: {PEERS[i]: signed_manifest(KEYS[i], body) for i in numbers}})


def local(**fields: Any) -> PeerSettings:
    return PeerSettings(initial_peers=["localhost:1"], **fields)


async def refusal(records: Any, known: set[Any] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        await find_manifest(records, known or set(), timeout=0.02)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("known", [set(), {PEERS[0]}, {PEERS[3]}])
async def test_a_single_run_is_found_whoever_was_asked(known: set[Any]) -> None:
    assert await find_manifest(announced(0), known, 1.0) == (PEERS[0], MANIFEST)


async def test_of_several_runs_the_one_of_the_initial_peer_is_taken() -> None:
    assert (await find_manifest(announced(0, 1, 2), {PEERS[1], PEERS[4]}, 1.0))[0] == PEERS[1]


async def test_two_coordinators_and_neither_known() -> None:
    sentence = await refusal(announced(0, 1))
    assert sentence.startswith("several runs are announced there, by the coordinators")
    assert str(PEERS[0]) in sentence and str(PEERS[1]) in sentence
    assert sentence.endswith("give the address of the right one as an initial peer")


async def test_no_manifest() -> None:
    assert await refusal(announced()) == (
        "no run is announced there within 0.02 s; check that a btard-coordinator runs at the address"
    )


async def test_another_record_in_the_manifests_place_is_none() -> None:
    stray = Envelope.sign(KEYS[0], run=RUN, step=0, kind=MessageKind.JOIN, body=BODY)
    assert "no run is announced" in await refusal(TableRecords({MANIFEST_KEY: {PEERS[0]: stray}}))


async def test_a_manifest_that_cannot_be_read() -> None:
    sentence = await refusal(announced(0, body=b"{}"))
    assert sentence.startswith("the run's manifest cannot be read (no valid manifest")
    assert sentence.endswith("its coordinator probably runs another version")


async def test_a_run_of_another_protocol() -> None:
    body = json.dumps(json.loads(BODY) | {"protocol": 99}).encode()
    said = await refusal(announced(0, body=body))
    assert f"the run speaks protocol version 99, this peer speaks {PROTOCOL_VERSION}; install" in said


async def test_a_manifest_that_appears_later_is_waited_for() -> None:
    class Late(TableRecords):
        looks = 0

        async def read(self, key: str) -> dict[Any, Envelope]:
            self.looks += 1
            return await (announced(0) if self.looks == 3 else announced()).read(key)

    assert (await find_manifest(Late(), set(), 5.0))[1] == MANIFEST  # type: ignore[arg-type]


def test_a_contradicting_radius() -> None:
    check_local_settings(local(), MANIFEST)
    check_local_settings(local(tau=1.0), MANIFEST)
    with pytest.raises(UserError) as caught:
        check_local_settings(local(tau=2.5), MANIFEST)
    assert str(caught.value) == (
        "HIVEMIND_TAU or CCLIP_TAU asks for a clipping radius of 2.5, but all peers of this run use 1; unset it, or "
        "set it for the coordinator"
    )


def test_the_task_of_the_manifest_is_loaded() -> None:
    task = load_run_task(local(), MANIFEST)
    assert (task.name, task.fingerprint) == ("digits", MANIFEST.fingerprint)


def test_data_with_another_fingerprint() -> None:
    with pytest.raises(UserError) as caught:
        load_run_task(local(), run_manifest(fingerprint="ab" * 32))
    sentence = str(caught.value)
    assert f"fingerprint {MANIFEST.fingerprint[:16]}, but the run trains on {'ab' * 8}" in sentence
    assert "give the same corpus by --data" in sentence


def test_a_task_that_is_not_known_here() -> None:
    with pytest.raises(UserError, match="there is no task 'chess'; known tasks are"):
        load_run_task(local(), run_manifest(task="chess"))


def test_local_data_take_the_place_of_the_manifests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"'{tmp_path}/none' is neither"):
        load_run_task(local(data=f"{tmp_path}/none"), MANIFEST)
    assert load_run_task(local(data="builtin"), MANIFEST).name == "digits"


def test_a_corpus_of_the_coordinators_own_has_to_be_given(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("words of all kinds\n" * 2000)
    own = run_manifest(task="gpt", data=PublicData(kind=PublicKind.OWN))
    with pytest.raises(UserError, match="a corpus of its coordinator's own, with the fingerprint"):
        load_run_task(local(cache_dir=tmp_path), own)
    task = load_task("gpt", "tiny", DataSpec.parse(str(corpus)), tmp_path)
    own = own.model_copy(update={"fingerprint": task.fingerprint})
    assert load_run_task(local(cache_dir=tmp_path, data=str(corpus)), own).fingerprint == task.fingerprint


@pytest.mark.parametrize(
    ("changed", "allowed", "says"),
    [
        ({"batch_size": 2**20}, {}, "batches of 1,048,576 samples, but --max-batch allows 256 on this machine"),
        ({"batch_size": 257}, {}, "batches of 257 samples"),
        ({"dimension": 2**39}, {}, "a model of 549,755,813,888 numbers, but --max-dimension allows 1,073,741,824"),
        ({"batch_size": 9}, {"max_batch": 8}, "batches of 9 samples, but --max-batch allows 8"),
    ],
)
def test_more_than_the_owner_allows_is_told_first(
    changed: dict[str, Any], allowed: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "load_task", lambda *_, **__: pytest.fail("something was loaded"))
    with pytest.raises(UserError, match=says):
        load_run_task(local(**allowed), run_manifest(**changed))


def test_what_the_owner_allows_is_taken() -> None:
    assert load_run_task(local(max_batch=2**20), run_manifest(batch_size=2**20)).name == "digits"
    assert load_run_task(local(), run_manifest(batch_size=256)).name == "digits"


def published(record: RosterRecord, author: int = 0, run: bytes = RUN) -> Any:
    return TableRecords({roster_key(RUN): {PEERS[author]: record.sign(KEYS[author], run, MessageKind.GENESIS)}})


async def test_only_the_coordinators_roster_is_read() -> None:
    record = RosterRecord.of(ROSTER)
    assert await read_roster(published(record), PEERS[0], RUN) == record
    assert await read_roster(published(record, author=1), PEERS[0], RUN) is None
    assert await read_roster(published(record, run=bytes(16)), PEERS[0], RUN) is None
    assert await read_roster(announced(), PEERS[0], RUN) is None


@pytest.mark.parametrize("over", [False, True])
async def test_the_first_roster_is_waited_for(over: bool) -> None:
    looks = 0

    class Forming(TableRecords):
        async def read(self, key: str) -> dict[PeerId, Envelope]:
            nonlocal looks
            looks += 1
            if looks == 3:
                self.found = published(RosterRecord(roster="00")).found
            if looks == 5:
                self.found = published(RosterRecord.of(ROSTER, finished=over)).found
            return await super().read(key)

    assert await wait_for_roster(Forming({}), PEERS[0], RUN) == (ROSTER, over)
    assert looks == 5
