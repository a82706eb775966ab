"""Joining: the right run is found, and every reason against it is one sentence that says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from btard.errors import UserError
from btard.identity import Envelope, MessageKind, PeerId
from btard.peer.meeting import joining
from btard.peer.meeting.joining import check_listed, check_local_settings, find_manifest, load_run_task
from btard.peer.settings import PeerSettings
from btard.swarm.manifest import PROTOCOL_VERSION
from btard.swarm.questions import Question, Want
from btard.tasks.data.public import PublicData, PublicKind
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import load_task
from btard.transport.libp2p import FetchError
from tests.peer.helpers import KEYS, PEERS, RUN, TableTransport, run_manifest, signed_manifest, with_false_signature

MANIFEST = run_manifest()
BODY = MANIFEST.model_dump_json().encode()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "POLL_SECONDS", 0.001)


def telling(coordinator: int = 0, body: bytes = BODY) -> bytes:
    """The manifest as one peer hands it on."""
    return signed_manifest(KEYS[coordinator], body).encode()


def network(**answers: Any) -> Any:
    """Peers by number, written as `p1`, and what they answer."""
    return TableTransport({PEERS[int(name[1:])]: answer for name, answer in answers.items()})


def local(**fields: Any) -> PeerSettings:
    return PeerSettings(initial_peers=["localhost:1"], **fields)


async def refusal(transport: Any, *named: int) -> str:
    with pytest.raises(UserError) as caught:
        await find_manifest(transport, [PEERS[i] for i in named], timeout_seconds=0.02)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("named", [[0], [1], [0, 1, 2]])
async def test_the_run_that_the_named_peers_tell_of_is_found(named: list[int]) -> None:
    transport = network(p0=telling(), p1=telling(), p2=telling(), p3=telling(4))
    envelope, manifest = await find_manifest(transport, [PEERS[i] for i in named], 5.0)
    assert (envelope, manifest) == (signed_manifest(KEYS[0], BODY), MANIFEST)
    assert sorted(peer for peer, _, _ in transport.asked) == sorted(PEERS[i] for i in named)
    assert {Question.decode(request).want for _, request, _ in transport.asked} == {Want.MANIFEST}


async def test_nobody_falls_back_to_a_stranger() -> None:
    transport = network(p0=FetchError("the peer\nis busy"), p3=telling(3))
    assert await refusal(transport, 0) == (
        f"no run is announced within 0.02 s by the initial peers, and nobody else is asked ({PEERS[0]}: the peer is "
        "busy); check that a btard-coordinator runs at the address"
    )
    assert {peer for peer, _, _ in transport.asked} == {PEERS[0]}


async def test_named_peers_of_two_runs() -> None:
    sentence = await refusal(network(p1=telling(0), p2=telling(3)), 1, 2)
    assert sentence.startswith(
        f"the initial peers belong to different runs: {PEERS[1]} tells of run {RUN.hex()[:8]} of the"
    )
    assert f"coordinator {PEERS[0]} and {PEERS[2]} tells of run" in sentence and str(PEERS[3]) in sentence
    assert sentence.endswith("give addresses of one run only")


async def test_one_coordinator_that_tells_two_manifests() -> None:
    other = run_manifest(seed=2).model_dump_json().encode()
    assert "different runs" in await refusal(network(p1=telling(), p2=telling(0, other)), 1, 2)


async def test_a_named_peer_that_is_silent_is_no_obstacle() -> None:
    transport = network(p1=telling())
    assert (await find_manifest(transport, PEERS[:3], 0.02))[1] == MANIFEST


async def test_a_named_peer_that_comes_late_is_heard_too() -> None:
    class Late(TableTransport):
        async def fetch(self, peer: PeerId, request: bytes, *, limit: int, timeout_seconds: float) -> bytes:
            answer = await super().fetch(peer, request, limit=limit, timeout_seconds=timeout_seconds)
            if peer == PEERS[2] and len(self.asked) < 5:
                raise FetchError("the peer is busy")
            return answer

    late = Late({PEERS[1]: telling(), PEERS[2]: telling(3)})
    with pytest.raises(UserError, match="different runs"):
        await find_manifest(late, PEERS[1:3], 5.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", rf"{PEERS[0]}: \S+"),
        (Envelope.sign(KEYS[0], run=RUN, step=0, kind=MessageKind.JOIN, body=BODY).encode(), "answers with a JOIN"),
        (with_false_signature(signed_manifest(KEYS[0], BODY)), "signature"),
        (bytes(1 << 20), "1048576 bytes where at most"),
    ],
)
async def test_what_is_no_manifest_is_none(answer: bytes, words: str) -> None:
    sentence = await refusal(network(p0=answer), 0)
    assert "no run is announced" in sentence
    assert re.search(words, sentence), sentence


async def test_a_manifest_that_cannot_be_read() -> None:
    sentence = await refusal(network(p0=telling(0, b"{}")), 0)
    assert sentence.startswith("the run's manifest cannot be read (no valid manifest")
    assert sentence.endswith("its coordinator probably runs another version")


async def test_a_run_of_another_protocol() -> None:
    body = json.dumps(json.loads(BODY) | {"protocol": 99}).encode()
    said = await refusal(network(p0=telling(0, body)), 0)
    assert f"the run speaks protocol version 99, this peer speaks {PROTOCOL_VERSION}; install" in said


async def test_a_manifest_that_appears_later_is_waited_for() -> None:
    looks = 0

    async def answer(request: bytes) -> bytes | None:
        nonlocal looks
        looks += 1
        return telling() if looks == 3 else None

    assert (await find_manifest(network(p0=answer), PEERS[:1], 5.0))[1] == MANIFEST


def test_a_contradicting_radius() -> None:
    check_local_settings(local(), MANIFEST)
    check_local_settings(local(tau=1.0), MANIFEST)
    with pytest.raises(UserError) as caught:
        check_local_settings(local(tau=2.5), MANIFEST)
    assert str(caught.value) == (
        "HIVEMIND_TAU or CCLIP_TAU asks for a clipping radius of 2.5, but all peers of this run use 1; unset it, or "
        "set it for the coordinator"
    )


def test_lies_of_stages_are_refused_where_there_are_none() -> None:
    with pytest.raises(UserError, match="--backward-attack is of runs in stages, which this one is not"):
        check_local_settings(local(backward_attack="noise"), MANIFEST)


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
    with pytest.raises(UserError) as caught:
        load_run_task(local(), run_manifest(task="chess", task_settings={"board": 8}))
    assert str(caught.value) == (
        "there is no task 'chess'; known tasks are albert, digits, gpt, images, regression, sentences, and another one "
        "comes with a package that has to be installed on this machine"
    )


def test_settings_that_the_task_here_does_not_have() -> None:
    with pytest.raises(UserError, match="the task digits has no setting 'width'; it has none"):
        load_run_task(local(), run_manifest(task_settings={"width": 8}))


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


STAGES = {
    **{"family": "gpt2", "blocks": [1, 1], "order": "1f1b", "optimizer": "adamw", "micro_batches": 3, "tied": False},
    **{"epoch_samples": 0, "forward_codec": "none", "backward_codec": "none", "raw_steps": 0, "check": "live"},
    **{"share": 0.01, "relative_error": 0.0, "code_share": 0.0, "after_alarm": "skip", "ban": True},
    **{"trusted_relay": False, "keep_every": 1, "step_seconds": 60.0, "silent_seconds": 10.0},
}


@pytest.mark.parametrize(
    ("changed", "allowed", "says"),
    [
        ({"batch_size": 2**20}, {}, "batches of 1,048,576 samples, but --max-batch allows 256 on this machine"),
        ({"batch_size": 257}, {}, "batches of 257 samples"),
        ({"dimension": 2**39}, {}, "a model of 549,755,813,888 numbers, but --max-dimension allows 1,073,741,824"),
        ({"batch_size": 9}, {"max_batch": 8}, "batches of 9 samples, but --max-batch allows 8"),
        ({"batch_size": 9, "pipeline": STAGES}, {"max_batch": 20}, "batches of 27 samples, but --max-batch allows 20"),
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


def test_a_key_that_a_closed_run_does_not_list_is_refused() -> None:
    closed = run_manifest(members=tuple(sorted(map(str, PEERS[:3]))))
    for manifest, peer in ((MANIFEST, PEERS[5]), (closed, PEERS[2])):
        check_listed(peer, PEERS[0], manifest)
    with pytest.raises(UserError) as caught:
        check_listed(PEERS[5], PEERS[0], closed)
    said = str(caught.value)
    assert str(PEERS[5]) in said and f"coordinator, {PEERS[0]}, to add it to the file of --members" in said
