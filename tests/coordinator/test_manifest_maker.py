"""The manifest of a new run, of one that goes on, and of one that begins with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from btard.coordinator.manifest_maker import PreparedRun, prepare_run
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.settings import DEFAULT_TAU
from btard.errors import UserError
from btard.swarm.tolerance import Tolerance
from btard.tasks.data import hub
from btard.tasks.data.public import PublicData, PublicKind
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from tests.coordinator.swarm import identity, settings
from tests.tasks.data.test_hub import COMMIT, StandIn


def prepare(path: Path, **changes: Any) -> PreparedRun:
    return prepare_run(settings(path, **changes), RunDirectory(path))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = TrainingState(load_task("digits", "tiny"), 5, device=torch.device("cpu"))
    state.apply(torch.ones(state.dimension))
    state.save_checkpoint(tmp_path / "checkpoint", 8)
    return tmp_path / "checkpoint"


def test_a_new_run(tmp_path: Path) -> None:
    run = prepare(tmp_path, checkpoint_at=["published", "5"], max_grad_norm=0)
    manifest = run.manifest
    assert RunDirectory(tmp_path).load_manifest() == manifest
    assert (manifest.tau, manifest.max_grad_norm) == (DEFAULT_TAU, None)
    assert (manifest.learning_rate, manifest.warmup_steps, manifest.total_steps) == (0.05, 4, 20)
    assert manifest.checkpoint_at == (5, 450, 950, 2950, 4950)
    assert manifest.dimension == run.state.dimension
    assert manifest.fingerprint == run.state.task.fingerprint
    assert (run.initial, run.resumed, manifest.start_step, manifest.state_digest) == (None, False, 0, None)


def test_momentum_is_off_unless_asked_for(tmp_path: Path) -> None:
    assert prepare(tmp_path / "a").manifest.momentum == 0.0
    assert prepare(tmp_path / "b", momentum=0.9).manifest.momentum == 0.9


def test_two_runs_have_two_names(tmp_path: Path) -> None:
    assert prepare(tmp_path / "a").manifest.run_id != prepare(tmp_path / "b").manifest.run_id


def test_the_same_nonce_and_the_same_rules_are_the_same_run(tmp_path: Path) -> None:
    nonce = "ab" * 16
    name = prepare(tmp_path / "a", nonce=nonce).manifest.run_id
    assert prepare(tmp_path / "a").manifest.run_id == prepare(tmp_path / "a", nonce=nonce).manifest.run_id == name
    assert prepare(tmp_path / "b", nonce=nonce).manifest.run_id == name
    assert prepare(tmp_path / "c", nonce=nonce, tau=3.0).manifest.run_id != name
    with pytest.raises(UserError, match="--nonce contradicts"):
        prepare(tmp_path / "a", nonce="cd" * 16)


def test_a_closed_run_publishes_its_list_and_keeps_to_it(tmp_path: Path) -> None:
    listed = [str(identity(number).peer_id) for number in range(3)]
    file = tmp_path / "members"
    file.write_text("\n".join(listed))
    run = prepare(tmp_path / "run", members=file)
    assert run.manifest.members == tuple(sorted(listed))
    file.write_text("\n".join([*listed, "# as before"]))
    assert prepare(tmp_path / "run", members=file).resumed
    file.write_text("\n".join(listed[:2]))
    with pytest.raises(UserError, match=r"--members contradicts .* 2 keys from .*, there it is 3 keys from"):
        prepare(tmp_path / "run", members=file)
    with pytest.raises(UserError, match="members is none, there it is 3 keys"):
        prepare(tmp_path / "run")
    with pytest.raises(UserError, match="lists 2 keys, but the first roster needs 3"):
        prepare(tmp_path / "other", members=file, peers=3)


def test_a_corpus_of_the_coordinators_own_is_not_named(tmp_path: Path) -> None:
    corpus = tmp_path / "secret-name.txt"
    corpus.write_text("words of all kinds\n" * 2000)
    own = {"task": "gpt", "data": str(corpus), "cache_dir": tmp_path / "cache"}
    run = prepare(tmp_path / "run", **own)
    assert run.manifest.data == PublicData(kind=PublicKind.OWN)
    assert "secret-name" not in run.manifest.model_dump_json() and str(tmp_path) not in run.manifest.model_dump_json()
    assert prepare(tmp_path / "run", **own).resumed
    tokenizer = load_task("gpt", "tiny", DataSpec.parse(str(corpus)), tmp_path / "cache").corpus.folder  # type: ignore[attr-defined]
    told = prepare(tmp_path / "other", **own, tokenizer=str(tokenizer)).manifest
    assert told.data == PublicData(kind=PublicKind.OWN, own_tokenizer=True)


def test_a_run_that_goes_on_keeps_its_commit_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "from the Hub"}\n' * 400)
    remote = StandIn(folder)
    monkeypatch.setattr(hub, "HUB", remote)
    fields = {"task": "gpt", "data": "hub:owner/name", "cache_dir": tmp_path / "cache"}
    first = prepare(tmp_path / "run", **fields).manifest
    assert (first.data.name, first.data.revision) == ("owner/name", COMMIT)
    remote.newest = "f" * 40
    assert prepare(tmp_path / "run", **fields).manifest == first
    assert prepare(tmp_path / "other", **fields).manifest.data.revision == "f" * 40


@pytest.mark.parametrize(
    ("peers", "given", "validators"), [(16, None, 1.0), (4, None, 0.25), (64, None, 4.0), (4, 0.0, 0.0), (4, 2.5, 2.5)]
)
def test_the_default_is_one_validator_for_sixteen_peers(
    tmp_path: Path, peers: int, given: float | None, validators: float
) -> None:
    assert prepare(tmp_path, peers=peers, validators=given).manifest.validators == validators


def test_how_peers_are_verified_is_as_it_is_told(tmp_path: Path) -> None:
    plain = prepare(tmp_path / "a").manifest
    assert (plain.validation, plain.eliminate, plain.probation, plain.max_part_norm) == (
        "tolerant",
        "suspend",
        20,
        None,
    )
    assert (plain.accuse, plain.convict) == (0.05, 0.025)
    told = prepare(tmp_path / "b", validation="exact", eliminate="mutual", probation=3, clip=2.5).manifest
    assert (told.validation, told.eliminate, told.probation, told.max_part_norm) == ("exact", "mutual", 3, 2.5)
    assert told.step_rules.aggregation.max_norm == 2.5


def tolerance(path: Path, **changed: Any) -> Path:
    """Write a file as `btard calibrate` does."""
    fields = {"task": "digits", "size": "tiny", "numerics": "here", "samples": 2, "worst": 1e-6, "exact": True}
    measured = Tolerance.model_validate({**fields, "accuse": 0.004, "convict": 0.002, "reason": "measured", **changed})
    measured.write(path)
    return path


def test_measured_thresholds_become_those_of_the_run(tmp_path: Path) -> None:
    manifest = prepare(tmp_path / "run", tolerance=tolerance(tmp_path / "tolerance.json")).manifest
    assert (manifest.accuse, manifest.convict) == (0.004, 0.002)
    rules = manifest.step_rules.verification
    assert (rules.accuse, rules.convict) == (0.004, 0.002)
    with pytest.raises(UserError, match="--tolerance contradicts"):
        prepare(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read .*tolerance.json: No such file or directory; btard calibrate writes it"),
        (b"", "is no tolerance file"),
        (b"\xff\xfe", "is no tolerance file"),
        (b'{"accuse": 0.1, "convict": 0.05}', "is no tolerance file"),
        (b"[" * 10_000, "is no tolerance file"),
    ],
)
def test_what_is_no_tolerance_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "tolerance.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=says):
        prepare(tmp_path / "run", tolerance=file)
    assert RunDirectory(tmp_path / "run").load_manifest() is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "gpt"}, "was measured for gpt tiny, but the run trains digits tiny; run btard calibrate"),
        ({"size": "large"}, "was measured for digits large, but the run trains digits tiny"),
        ({"accuse": 0.0}, "accuse cannot be part of a run"),
        ({"convict": -1.0}, "convict cannot be part of a run"),
        ({"convict": 0.004}, "convict is 0.004, but must be below accuse, which is 0.004"),
    ],
    ids=str,
)
def test_thresholds_that_no_run_can_have_are_named(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(tmp_path / "run", tolerance=tolerance(tmp_path / "tolerance.json", **changed))


def test_the_same_directory_goes_on(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    second = prepare(tmp_path)
    assert second.manifest == first.manifest
    assert second.resumed


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"tau": 3.0}, "--tau"),
        ({"batch_size": 2}, "--batch-size"),
        ({"momentum": 0.5}, "--momentum"),
        ({"validators": 2.0}, "--validators"),
        ({"probation": 1}, "--probation"),
        ({"clip": 1.0}, "--clip"),
        ({"eliminate": "mutual"}, "--eliminate"),
        ({"gather_timeout": 7.0}, "--gather-timeout"),
        ({"experiment": "other"}, "--experiment"),
        ({"total_steps": 30}, "--"),
    ],
)
def test_settings_that_contradict_the_directory(tmp_path: Path, change: dict[str, Any], flag: str) -> None:
    prepare(tmp_path)
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, **change)
    assert str(caught.value).startswith(flag)
    assert "another --directory" in str(caught.value)


def test_a_finished_run_does_not_go_on(tmp_path: Path) -> None:
    prepare(tmp_path)
    RunDirectory(tmp_path).save_summary({})
    with pytest.raises(UserError, match="is finished"):
        prepare(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "roster.json"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"run')
    with pytest.raises(UserError, match="damaged"):
        RunDirectory(tmp_path).load_roster() if name == "roster.json" else prepare(tmp_path)


def test_a_checkpoint_begins_the_run_at_its_step(tmp_path: Path, checkpoint: Path) -> None:
    run = prepare(tmp_path / "run", initial_state=checkpoint)
    assert run.manifest.start_step == 8
    assert run.manifest.state_digest == run.state.digest().hex()
    assert run.initial == run.state.state_bytes()
    assert prepare(tmp_path / "run", initial_state=checkpoint).resumed
    with pytest.raises(UserError, match="--initial-state contradicts"):
        prepare(tmp_path / "run")


def test_bad_checkpoints(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        prepare(tmp_path / "run", initial_state=tmp_path)
    with pytest.raises(UserError, match="larger --total-steps"):
        prepare(tmp_path / "run", initial_state=checkpoint, total_steps=8)
    (state_file,) = checkpoint.glob("*.safetensors")
    state_file.write_bytes(state_file.read_bytes()[:-50])
    with pytest.raises(UserError, match="was cut"):
        prepare(tmp_path / "run", initial_state=checkpoint)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "chess"}, "no task 'chess'"),
        ({"size": "huge"}, "no size 'huge'"),
        ({"data": "nowhere"}, "data source 'nowhere'"),
        ({"warmup_steps": 20}, "the warm-up"),
    ],
)
def test_settings_that_no_task_takes(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises((UserError, ValueError), match=words):
        prepare(tmp_path, **change)
    assert RunDirectory(tmp_path).load_manifest() is None
