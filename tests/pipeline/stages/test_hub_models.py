"""A model by its name on the Hub is fetched as configuration and safetensors; a folder of that name wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btard.cli.pipeline import main
from btard.errors import UserError
from btard.pipeline.stages import hub_models
from btard.pipeline.stages.hub_models import find_model
from btard.pipeline.stages.partition import read_cut
from tests.pipeline.stages.test_partition import saved
from tests.tasks.data.test_hub import COMMIT, StandIn

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A Hub with a tiny GPT-2, and with files that are none of its weights."""
    folder = tmp_path / "remote"
    saved("gpt2", folder)
    for name in ("pytorch_model.bin", "adapter_model.safetensors", "modeling_own.py"):
        (folder / name).write_bytes(b"never to be read")
    made = StandIn(folder)
    monkeypatch.setattr(hub_models, "MODELS", made)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.mark.parametrize("text", ["owner/name", "hub:owner/name", f"owner/name@{COMMIT}", f"hub:owner/name@{COMMIT}"])
def test_a_name_on_the_hub_is_cut_into_stages(
    remote: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["partition", "--model", text, "--split", "1-3", "--out", str(tmp_path / "out")]) == 0
    assert f"model  owner/name@{COMMIT}" in capsys.readouterr().out
    assert read_cut(tmp_path / "out").stages == 2


def test_only_a_configuration_and_safetensors_are_fetched(remote: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    real = remote.fetch

    def noted(name: str, revision: str, files: list[str], *, signed_in: bool) -> list[Path]:
        fetched.extend(files)
        return real(name, revision, files, signed_in=signed_in)

    monkeypatch.setattr(remote, "fetch", noted)
    find_model("owner/name")
    assert fetched == ["config.json", "model.safetensors"]
    fetched.clear()
    (remote.folder / "model.safetensors").unlink()
    for name in [*SHARDS, INDEX, "model-00001-of-00002.bin", "onnx"]:
        (remote.folder / name).write_bytes(b"{}")
    find_model("owner/name")
    assert fetched == ["config.json", INDEX, *SHARDS]


def test_a_folder_of_the_same_name_wins_unless_told(remote: StandIn, tmp_path: Path) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert find_model("owner/name").folder == Path("owner/name") and not remote.asked
    assert find_model("hub:owner/name").folder == remote.folder


def test_a_model_without_safetensors_is_told_in_a_sentence(remote: StandIn) -> None:
    (remote.folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="owner/name on the Hub has no weights as safetensors"):
        find_model("owner/name")
    (remote.folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json: it is no model that can be cut"):
        find_model("owner/name")
    assert all(what == "listing" for what, *_ in remote.asked)


@pytest.mark.parametrize("text", ["hub:", "hub:../x", "hub:owner", "hub:owner/name@main", "owner/name@12", "hub:a/b/c"])
def test_what_is_no_name_is_told_in_a_sentence(remote: StandIn, text: str) -> None:
    with pytest.raises(UserError, match=r"but must be a folder or \[hub:\]OWNER/NAME\[@COMMIT of 40 hex digits\]"):
        find_model(text)
    assert not remote.asked


@pytest.mark.parametrize("text", ["a" * 5000, "a\0b", "nowhere", "/nowhere/at/all"])
def test_a_path_that_leads_nowhere_is_told(remote: StandIn, text: str) -> None:
    with pytest.raises(UserError, match=r"holds no config\.json; name a folder with a model of Hugging Face"):
        main(["partition", "--model", text, "--out", "out"])


def test_without_the_hub_it_is_told_that_there_is_no_folder(remote: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise UserError("the model owner/name could not be loaded: no network")

    monkeypatch.setattr(remote, "listing", offline)
    with pytest.raises(UserError, match=r"^there is no folder owner/name here, and the model .* no network$"):
        find_model("owner/name")
    with pytest.raises(UserError, match=r"^the model owner/name"):
        find_model("hub:owner/name")


def test_what_is_fetched_and_no_model_is_told(remote: StandIn) -> None:
    (remote.folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match="'llama' cannot be cut into stages"):
        main(["partition", "--model", "owner/name", "--out", "out"])
