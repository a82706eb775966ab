"""A model on the disk in stages, and models of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.cli.pipeline import main
from btard.errors import UserError
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.partition import MANIFEST, read_cut, read_manifest, read_stage, write_partition
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import read_model
from tests.pipeline.tiny import FAMILIES, tiny_batch, tiny_config, tiny_state


def saved(name: str, folder: Path, *, tie: bool = False) -> torch.nn.Module:
    """Save a tiny model as transformers does, and return it."""
    config = tiny_config(name, tie=tie)
    model = families()[name].architecture(config)
    model.save_pretrained(folder)
    model.config.use_cache = False  # caching rounds otherwise
    return model.train()


@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_is_cut_by_one_command(name: str, tie: bool, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model = saved(name, tmp_path / "model", tie=tie)
    assert main(["partition", "--model", str(tmp_path / "model"), "--stages", "3", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("stage ") == 3
    cut, hidden, batch = read_cut(tmp_path / "out"), None, tiny_batch(name, 3)
    for number in range(3):
        hidden = ModelStage(cut, number, read_stage(tmp_path / "out", number))(batch, hidden)
    assert torch.equal(hidden, model(**batch.tensors).loss)


def test_a_split_of_ones_own_is_kept(tmp_path: Path) -> None:
    saved("gpt2", tmp_path / "model")
    words = ["partition", "--model", str(tmp_path / "model"), "--split", "1-3", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert read_manifest(tmp_path / "out").blocks == (1, 3)
    with pytest.raises(UserError, match="there already"):
        main(words)


@pytest.fixture
def stages(tmp_path: Path) -> Path:
    config = tiny_config("gpt2")
    write_partition(Cut(config, Split.parse("2-2")), tiny_state(config), tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["stage-0001.safetensors", "config.json"])
def test_a_changed_file_is_refused(file: str, stages: Path) -> None:
    data = bytearray((stages / file).read_bytes())
    data[-3] ^= 1
    (stages / file).write_bytes(data)
    with pytest.raises(UserError, match="its digest is not"):
        read_stage(stages, 1) if "stage" in file else read_cut(stages)


def test_a_damaged_manifest_is_refused(stages: Path) -> None:
    text = (stages / MANIFEST).read_text()
    for wrong in (text.replace("stage-0000", "../stage"), text[:-9], text.replace("2,", "2, 2,", 1), "[]"):
        (stages / MANIFEST).write_text(wrong)
        with pytest.raises(UserError, match="damaged"):
            read_manifest(stages)
    with pytest.raises(UserError, match="btard pipeline partition writes one"):
        read_manifest(stages / "absent")


def test_a_stage_that_is_not_there_is_refused(stages: Path) -> None:
    with pytest.raises(UserError, match="no stage 2"):
        read_stage(stages, 2)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        read_model(tmp_path)
    tiny_config("gpt2").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"cannot|no model"):
        read_model(tmp_path)


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved("gpt2", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["transformer.h.1.ln_1.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks the weight transformer\.h\.1\.ln_1"):
        read_model(tmp_path)


def rewritten(folder: Path, **changes: Any) -> None:
    """Change what the configuration of a saved model says."""
    saved("gpt2", folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damaged_weights_are_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved("gpt2", tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:5], whole[:1000], whole[:-9], bytes(1000)):
        path.write_bytes(damaged)
        capsys.readouterr()
        with pytest.raises(UserError, match="no model that can be read"):
            read_model(tmp_path)
        said = capsys.readouterr()
        assert not said.out and not said.err


def test_weights_of_other_shapes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(tmp_path, n_embd=64)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"the weight .* has shape .* but config\.json asks for"):
        read_model(tmp_path)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"n_embd": "many"}, {"n_layer": -1}, {"model_type": 7}, {"model_type": "none"}])
def test_a_configuration_of_no_use_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    rewritten(tmp_path, **changes)
    with pytest.raises(UserError):
        read_model(tmp_path)


def test_no_folder_chooses_the_code_that_reads_it(tmp_path: Path) -> None:
    rewritten(tmp_path, model_type="mine", auto_map={"AutoConfig": "mine.Config"})
    (tmp_path / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match="of no use"):
        read_model(tmp_path)


def test_a_command_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="perhaps partition"):
        main(["partitoin"])
