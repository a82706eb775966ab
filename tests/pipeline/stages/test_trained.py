"""A trained model as others describe it: its configuration comes over whole, and one that is of no use is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.cli.pipeline import main
from btard.errors import UserError
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage, stage_names
from btard.pipeline.stages.partition import write_partition
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import read_config, read_trained, write_config
from tests.pipeline.tiny import FAMILIES, tiny_config, tiny_state


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_configuration_comes_over_whole(name: str, tie: bool) -> None:
    config = tiny_config(name, tie=tie)
    read = read_config(name, write_config(config), 4)
    assert read.to_diff_dict() == config.to_diff_dict()
    batch_of_shapes = Cut(config, Split((2, 2))).shapes
    assert Cut(read, Split((2, 2))).shapes == batch_of_shapes


def test_strangers_name_no_code_that_computes() -> None:
    """Where its package for kernels is installed, transformers would fetch and run what such a name says."""
    text = changed(attn_implementation="strangers/kernel")
    with pytest.raises(UserError, match="it says 'attn_implementation', which no model of the family gpt2 has"):
        read_config("gpt2", text, 4)


def test_what_a_configuration_has_besides_stays_here() -> None:
    config = tiny_config("gpt2")
    config.task_specific_params = {"text-generation": {"max_length": 50}}
    assert "task_specific_params" in config.to_diff_dict()
    assert read_config("gpt2", write_config(config), 4).n_embd == config.n_embd


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stage_holds_nothing_but_its_weights(name: str) -> None:
    """So a stage is whole once its weights are loaded, whatever it was built from."""
    config = tiny_config(name)
    cut, state = Cut(config, Split((2, 2))), tiny_state(config)
    for stage in range(2):
        assert set(stage_names(cut, stage)) == set(ModelStage(cut, stage, state).weights())


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(write_config(tiny_config("gpt2"))) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        changed(model_type="bloom"),
        changed(n_embd="wide"),
        changed(n_embd=7),
        changed(n_head=0),
        changed(n_layer=5),
        changed(n_layer=10**9),
        changed(vocab_size=-1),
        changed(activation_function="none such"),
        changed(attn_implementation="strangers/kernel"),
        changed(_attn_implementation="strangers/kernel"),
        changed(auto_map={"AutoConfig": "strangers/code--Config"}),
        changed(quantization_config={"quant_method": "bitsandbytes"}),
    ],
)
def test_a_configuration_of_no_use_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="the configuration of the run's model is of no use: "):
        read_config("gpt2", text, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = families()["gpt2"].tiny(96, 3, 64)
    write_partition(Cut(config, Split((1, 2))), tiny_state(config), tmp_path / "stages")
    return tmp_path / "stages"


def test_a_model_is_read_whole(folder: Path) -> None:
    cut, state = read_trained(folder)
    drawn = tiny_state(cut.config)
    assert cut.split == Split((1, 2)) and state.keys() == drawn.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in drawn.items())


def test_a_trial_goes_on_from_a_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The loss before the first step is that of the model, which was trained before."""
    torch.manual_seed(0)
    config = families()["gpt2"].tiny(96, 3, 64)
    state = {name: torch.zeros_like(tensor) for name, tensor in tiny_state(config).items()}
    write_partition(Cut(config, Split((1, 2))), state, tmp_path / "stages")
    assert main(["run", "--partition", str(tmp_path / "stages"), "--steps", "1", "--check", "none"]) == 0
    before = capsys.readouterr().out.splitlines()[0]
    assert f"{torch.tensor(96.0).log():.3f} before" in before, "weights of nothing say every token is as likely"


def test_replicas_go_on_from_a_model(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--steps", "1", "--check", "drawn"]
    assert main(["run", "--partition", str(folder), *words]) == 0
    alone = capsys.readouterr().out.splitlines()[0]
    assert main(["run", "--partition", str(folder), *words, "--replicas", "4"]) == 0
    assert capsys.readouterr().out.split(" before")[0] == alone.split(" before")[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--split", "1-1-1"), "--split is of a new model"),
        (("--family", "bloom"), "--family is of a new model"),
        (("--task", "sentences"), "cannot train the task sentences"),
        (("--processes", "real", "--tokenizer", "tokenizer.json"), "--tokenizer are of simulated stages"),
    ],
)
def test_what_does_not_go_with_a_model_is_told(folder: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        main(["run", "--partition", str(folder), "--steps", "1", *words])


def test_a_model_of_fewer_tokens_is_told(tmp_path: Path) -> None:
    config = families()["gpt2"].tiny(29, 2, 64)
    write_partition(Cut(config, Split((1, 1))), tiny_state(config), tmp_path)
    with pytest.raises(UserError, match=r"the data have \d+ tokens, but the model knows 29; give the --tokenizer"):
        main(["run", "--partition", str(tmp_path), "--steps", "1"])


def test_a_model_of_fewer_positions_is_told(tmp_path: Path) -> None:
    config = families()["gpt2"].tiny(96, 2, 12)
    write_partition(Cut(config, Split((1, 1))), tiny_state(config), tmp_path)
    with pytest.raises(UserError, match=r"samples have \d+ tokens, but the model has 12 positions"):
        main(["run", "--partition", str(tmp_path), "--steps", "1"])
