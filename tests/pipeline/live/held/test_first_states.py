"""A run that goes on from a trained model: the manifest says which, and its coordinator shows every stage's state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from btard.configuration import load_settings
from btard.coordinator.manifest_maker import PreparedRun, prepare_run
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.identity import IdentityKey
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.live.build import StageBuilder, beginning_of
from btard.pipeline.live.held.first_states import FirstStates
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.seats.seating import Seating
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.partition import write_partition
from btard.pipeline.stages.split import Split
from btard.swarm.questions import Question, Want
from btard.tasks.base import Schedule
from btard.tasks.registry import load_task
from tests.pipeline.live.held.first import whole
from tests.pipeline.tiny import tiny_config, tiny_state

TASK = load_task("gpt", "tiny")
KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(3)]


def partition(folder: Path, tie: bool = False) -> Cut:
    config = families()["gpt2"].tiny(96, 3, 64)
    config.tie_word_embeddings = tie
    cut = Cut(config, Split((1, 1, 1)))
    write_partition(cut, tiny_state(config, seed=7), folder)
    return cut


def prepare(path: Path, folder: Path, *words: str) -> PreparedRun:
    given = ["--experiment", "test", "--pipeline", "1-1-1", "--pipeline-partition", str(folder), "--total-steps", "6"]
    settings = load_settings(
        CoordinatorSettings,
        [*given, "--batch-size", "2", "--directory", str(path), *words],
        program="btard-coordinator",
    )
    return prepare_run(settings, RunDirectory(path))


@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("check", ["live", "drawn"])
def test_stages_train_the_model_that_was_announced(tie: bool, check: str, tmp_path: Path) -> None:
    cut = partition(tmp_path / "stages", tie)
    run = prepare(tmp_path / "run", tmp_path / "stages", "--check", check)
    terms, states = run.manifest.pipeline, run.first_states
    assert terms is not None and isinstance(states, FirstStates) and terms.tied is tie
    builder, digests = StageBuilder(run.manifest, TASK), beginning_of(terms)
    seating = Seating(run.manifest.run, 1, 0, tuple(key.peer_id for key in KEYS), digests)
    machines = []
    for stage, key in enumerate(KEYS):
        held = {number: whole(states, digests[number]) for number in builder.held_by(stage)}
        machines.append(builder.machine(seating, key, stage, held))
    told = [report.loss for report in run_stages(machines, 6)[-1].reports]
    optimizer = OptimizerPlan(OptimizerKind.ADAMW, Schedule(run.manifest.learning_rate, run.manifest.warmup_steps, 6))
    plain = assemble(
        cut, tiny_state(cut.config, seed=7), optimizer, builder.plan(seating).batches, order=PipelineOrder.GPIPE
    )
    assert told == [report.loss for report in run_stages(plain, 6)[-1].reports]


def test_a_wrong_first_pledge_would_be_noticed(tmp_path: Path) -> None:
    """Stages know what every other one must begin with."""
    partition(tmp_path / "stages")
    run = prepare(tmp_path / "run", tmp_path / "stages")
    assert run.manifest.pipeline is not None
    builder, digests = StageBuilder(run.manifest, TASK), beginning_of(run.manifest.pipeline)
    first = Seating(run.manifest.run, 1, 0, tuple(key.peer_id for key in KEYS), digests)
    assert isinstance(run.first_states, FirstStates)
    states = {0: whole(run.first_states, digests[0])}
    machine = builder.machine(first, KEYS[0], 0, states)
    assert builder.plan(first).first_states[0] == machine.worker.state().digest
    later = Seating(run.manifest.run, 2, 4, first.seats, (bytes([1]) * 32,) * 3)
    assert builder.plan(later).first_states == ()


def test_the_same_folder_makes_the_same_run(tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    begun = prepare(tmp_path / "run", tmp_path / "stages").manifest
    assert prepare(tmp_path / "run", tmp_path / "stages").manifest == begun


def test_nothing_else_is_shown(tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    run = prepare(tmp_path / "run", tmp_path / "stages")
    assert run.manifest.pipeline is not None and run.first_states is not None
    known = beginning_of(run.manifest.pipeline)[0].hex()
    for question in (
        Question(want=Want.STATE, known="00" * 32),
        Question(want=Want.CHUNK, known=known, chunk=99),
        Question(want=Want.STANCE, known=known),
        Question(want=Want.STATE, step=3),
    ):
        assert run.first_states.answer(question) is None, question


def test_a_file_that_was_changed_is_told(tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    run = prepare(tmp_path / "run", tmp_path / "stages")
    assert run.manifest.pipeline is not None
    path = tmp_path / "run" / "first-states" / "stage-0001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(UserError, match=r"stage-0001\.safetensors is damaged; give another --directory"):
        FirstStates(path.parent, beginning_of(run.manifest.pipeline))
    path.unlink()
    with pytest.raises(UserError, match=r"stage-0001\.safetensors cannot be read"):
        FirstStates(path.parent, beginning_of(run.manifest.pipeline))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--pipeline", "2-1"), "--pipeline is 2-1, but .* holds stages of 1-1-1 blocks; give that"),
        (("--task", "digits"), "a pipeline trains on text"),
        (("--tie",), "--tie is not for --pipeline-partition"),
        (("--pipeline-family", "bloom"), "--pipeline-family is not for --pipeline-partition"),
        (("--pipeline-partition", "nowhere"), "nowhere holds no stages.json; btard pipeline partition writes one"),
    ],
)
def test_what_does_not_fit_the_model_is_told(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    with pytest.raises(UserError, match=sentence):
        prepare(tmp_path / "run", tmp_path / "stages", *words)


def test_a_model_that_classifies_is_told(tmp_path: Path) -> None:
    config = tiny_config("deberta-v2", blocks=3)
    write_partition(Cut(config, Split((1, 1, 1))), tiny_state(config), tmp_path / "stages")
    with pytest.raises(UserError, match="a model that classifies; a run trains on text"):
        prepare(tmp_path / "run", tmp_path / "stages")


def test_a_damaged_partition_is_told(tmp_path: Path) -> None:
    partition(tmp_path / "stages")
    file = tmp_path / "stages" / "stage-0002.safetensors"
    file.write_bytes(torch.randn(9).numpy().tobytes())
    with pytest.raises(UserError, match=r"stage-0002\.safetensors is damaged"):
        prepare(tmp_path / "run", tmp_path / "stages")
