"""What a run of stages has trained becomes a model of Hugging Face again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from btard.cli.pipeline import main
from btard.errors import UserError
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.stages.model_stage import ModelStage
from btard.pipeline.stages.partition import read_stage
from btard.tasks.base import Schedule
from tests.coordinator.test_pipeline_terms import prepare as prepare_new
from tests.pipeline.live.held.test_first_states import partition, prepare

OPTIMIZER = OptimizerPlan(OptimizerKind.SGD, Schedule(0.1, 0, 10))


def finished(path: Path, tie: bool = False) -> Path:
    """Return a coordinator's directory after a run of a few steps in which each weight has grown by one."""
    cut = partition(path / "stages", tie)
    prepare(path / "run", path / "stages")
    folder = path / "run" / "checkpoints" / "step-000006"
    folder.mkdir(parents=True)
    for stage in range(cut.stages):
        worker = KeptWorker(ModelStage(cut, stage, read_stage(path / "stages", stage)), OPTIMIZER)
        for weight in worker.stage.weights().values():
            weight.data += 1
        (folder / f"stage-{stage:04}.safetensors").write_bytes(worker.state_bytes())
    return path / "run"


@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_a_run_becomes_a_model_again(tie: bool, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = finished(tmp_path, tie)
    assert main(["merge", "--run", str(run), "--out", str(tmp_path / "model")]) == 0
    assert "step-000006" in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True)
    before = {}
    for stage in range(3):
        before |= read_stage(tmp_path / "stages", stage)
    assert model.config.tie_word_embeddings is tie
    assert all(torch.equal(model.state_dict()[name], tensor + 1) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("manifest.json", r"manifest\.json is no manifest; give the --directory of a run's coordinator"),
        ("checkpoints/step-000006/stage-0001.safetensors", r"stage-0001\.safetensors cannot be read"),
    ],
)
def test_what_is_missing_is_told(file: str, sentence: str, tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run / file).unlink()
    with pytest.raises(UserError, match=sentence):
        main(["merge", "--run", str(run), "--out", str(tmp_path / "model")])


def test_the_state_of_another_stage_is_told(tmp_path: Path) -> None:
    run = finished(tmp_path)
    folder = run / "checkpoints" / "step-000006"
    (folder / "stage-0001.safetensors").write_bytes((folder / "stage-0002.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"stage-0001\.safetensors is damaged: it has no "):
        main(["merge", "--run", str(run), "--out", str(tmp_path / "model")])


def test_a_run_that_is_not_over_is_told(tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    prepare(tmp_path / "run", tmp_path / "stages")
    with pytest.raises(UserError, match="holds no checkpoints yet"):
        main(["merge", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "model")])


def test_a_new_small_model_is_not_merged(tmp_path: Path) -> None:
    prepare_new(tmp_path / "run")
    with pytest.raises(UserError, match="did not go on from a trained model"):
        main(["merge", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "model")])
