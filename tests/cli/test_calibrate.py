"""`btard calibrate`: the table, the file, defaults that are the coordinator's, and one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btard.cli.calibrate import CalibrateSettings, main
from btard.configuration import load_settings
from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError


def test_it_prints_a_table_and_writes_the_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "tolerance.json"
    assert main(["--task", "digits", "--samples", "2", "--output", str(output)]) == 0
    written = json.loads(output.read_text())
    assert written["task"] == "digits" and written["samples"] == 2
    assert written["convict"] == written["accuse"] / 2 == 5e-5
    printed = capsys.readouterr().out
    assert "state saved and loaded" in printed and "float64 model" in printed
    assert written["reason"] in printed and printed.endswith(f"written to {output}\n")


def test_defaults_are_the_coordinators() -> None:
    own = load_settings(CalibrateSettings, [], program="btard calibrate", environ={}).model_dump()
    theirs = load_settings(CoordinatorSettings, ["--experiment", "x"], program="btard-coordinator", environ={})
    shared = own.keys() & theirs.model_dump().keys()
    assert {"task", "size", "data", "batch_size", "max_grad_norm", "precision", "seed"} <= shared
    assert {name: own[name] for name in shared} == {name: getattr(theirs, name) for name in shared}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "chess"], "no task 'chess'"),
        (["--task", "digits", "--size", "huge"], "no size 'huge'"),
        (["--task", "digits", "--data", "hub:owner/mnist"], "only its built-in data"),
        (["--samples", "0"], "--samples is 0, but must be a whole number of gradients from 1 to 10000"),
        (["--task", "digits", "--output", "/no/such/folder/file"], "must be a file in a folder that exists"),
        (["--task", "digits", "--output", "/tmp"], "must be a file in a folder that exists"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        main(words)
    assert says in str(caught.value)
