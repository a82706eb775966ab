"""A run in stages is announced in the manifest, and settings that do not fit it are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from btard.configuration import load_settings
from btard.coordinator.manifest_maker import prepare_run
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.replicas.rules import DEFAULT_TAU
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.registry import load_task

WORDS = ("--experiment", "test", "--pipeline", "2-1", "--micro-batches", "3", "--total-steps", "20")


def settings(path: Path, *words: str) -> CoordinatorSettings:
    return load_settings(CoordinatorSettings, [*WORDS, "--directory", str(path), *words], program="btard-coordinator")


def prepare(path: Path, *words: str) -> RunManifest:
    return prepare_run(settings(path, *words), RunDirectory(path)).manifest


def test_a_manifest_says_how_the_model_is_cut(tmp_path: Path) -> None:
    manifest = prepare(tmp_path, "--tie", "--pipeline-family", "bloom", "--lost-after", "4")
    terms = manifest.pipeline
    assert terms is not None and manifest.peers == terms.stages == 2
    assert (terms.family, terms.blocks, terms.micro_batches, terms.tied) == ("bloom", (2, 1), 3, True)
    assert terms.silent_seconds == 4.0
    written = RunManifest.model_validate_json((tmp_path / "manifest.json").read_bytes())
    assert written == manifest
    builder = StageBuilder(written, load_task(written.chosen_task, written.size))
    assert builder.cut.config.num_hidden_layers == 3


def test_a_manifest_says_how_stages_compress_and_check(tmp_path: Path) -> None:
    words = (
        "--forward-codec",
        "delta:bits=4",
        "--epoch-samples",
        "24",
        "--check",
        "drawn",
        "--share",
        "0.5",
        "--no-ban",
    )
    terms = prepare(tmp_path, *words, "--no-ban", "--after-alarm", "restart", "--raw-steps", "2").pipeline
    assert terms is not None
    assert (terms.forward_codec, terms.backward_codec, terms.raw_steps) == ("delta:bits=4", "none", 2)
    assert (terms.check, terms.share, terms.ban, terms.after_alarm) == ("drawn", 0.5, False, "restart")


def test_a_manifest_says_how_many_pipelines_there_are(tmp_path: Path) -> None:
    one = prepare(tmp_path / "one").pipeline
    assert one is not None and (one.replicas, one.tau, one.seats) == (1, 0.0, 2)
    manifest = prepare(tmp_path / "four", "--replicas", "4", "--check", "drawn", "--tau", "0.25")
    terms = manifest.pipeline
    assert terms is not None and (terms.replicas, terms.tau, terms.stages) == (4, 0.25, 2)
    assert manifest.peers == terms.seats == 8
    usual = prepare(tmp_path / "usual", "--replicas", "4", "--check", "drawn").pipeline
    assert usual is not None and usual.tau == DEFAULT_TAU


def test_an_ordinary_manifest_says_nothing_of_stages(tmp_path: Path) -> None:
    told = load_settings(
        CoordinatorSettings,
        ["--experiment", "test", "--task", "digits", "--directory", str(tmp_path)],
        program="btard-coordinator",
    )
    prepare_run(told, RunDirectory(tmp_path))
    assert "pipeline" not in json.loads((tmp_path / "manifest.json").read_text())


def test_a_run_in_stages_goes_on_with_the_same_settings(tmp_path: Path) -> None:
    manifest = prepare(tmp_path)
    assert prepare(tmp_path) == manifest
    with pytest.raises(UserError, match="--pipeline contradicts the run"):
        prepare(tmp_path, "--micro-batches", "4")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--pipeline", "2-x"), "a split is written as 2-3-1"),
        (("--task", "digits"), "a pipeline trains on text"),
        (("--checkpoint-every", "5"), "--checkpoint-every or --checkpoint-at is not of runs in stages"),
        (("--forward-codec", "zip"), "the forward codec"),
        (("--forward-codec", "delta:bits=4"), "a stream without sample ids"),
        (("--forward-codec", "fixpoint:bits=4,dims=03"), "activations here have dimensions 0 to 2"),
        (("--backward-codec", "delta:bits=4", "--epoch-samples", "8"), "have no earlier visit to differ from"),
        (("--epoch-samples", "100000000"), "is longer than the corpus"),
        (("--check", "often"), "--check"),
        (("--share", "1.5"), "--share"),
        (("--precision", "fp16", "--backward-codec", "fp16"), "clips gradients that overflow"),
        (("--precision", "fp16", "--relative-error", "0.01"), "need not overflow alike"),
        (("--pipeline", "-".join(["1"] * 300)), "a run has at most 256"),
        (("--replicas", "3", "--check", "drawn"), "of fewer than 4 replicas no validator is drawn"),
        (("--replicas", "4"), "give --check drawn"),
        (("--replicas", "4", "--check", "drawn", "--code-share", "0.1"), "replicas compare bits"),
        (("--replicas", "200", "--check", "drawn"), "at most 256 peers may have a stage"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        prepare(tmp_path, *words)


def test_settings_of_stages_need_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--micro-batches is of runs in stages: give --pipeline"):
        load_settings(
            CoordinatorSettings, ["--experiment", "test", "--micro-batches", "3"], program="btard-coordinator"
        )


TERMS: dict[str, Any] = {
    **{"family": "gpt2", "blocks": (1, 2), "order": "1f1b", "optimizer": "adamw", "micro_batches": 2, "tied": False},
    **{"epoch_samples": 0, "forward_codec": "none", "backward_codec": "none", "raw_steps": 0, "check": "live"},
    **{"share": 0.01, "relative_error": 0.0, "code_share": 0.0, "after_alarm": "skip", "ban": True},
    **{"trusted_relay": False, "keep_every": 1, "step_seconds": 60.0, "silent_seconds": 10.0},
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "t5"},
        {"blocks": ()},
        {"blocks": (0, 1)},
        {"blocks": (4096, 1)},
        {"blocks": (1,) * 257},
        {"order": "2f2b"},
        {"optimizer": "lion"},
        {"micro_batches": 0},
        {"keep_every": 0},
        {"step_seconds": 0.0},
        {"silent_seconds": float("inf")},
        {"check": "often"},
        {"share": 1.5},
        {"relative_error": 1.0},
        {"after_alarm": "laugh"},
        {"forward_codec": ""},
        {"epoch_samples": -1},
        {"more": 1},
    ],
)
def test_hostile_terms_are_refused(wrong: dict[str, Any]) -> None:
    PipelineTerms(**TERMS)
    with pytest.raises(ValidationError):
        PipelineTerms(**{**TERMS, **wrong})
