"""What `btard pipeline run --output` leaves."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from btard.cli.pipeline import main
from btard.errors import UserError

STEPS = 3
RUN = ("run", "--split", "1-1-1", "--steps", str(STEPS), "--attack-rate", "1")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trial") / "new"
    assert main([*RUN, "--xlsx", "--tensorboard", "--link", "100mbit", "--output", str(directory)]) == 0
    return directory


def test_the_result_has_settings_scores_and_counts(left: Path) -> None:
    found = json.loads((left / "result.json").read_text())
    assert found["settings"]["attack_rate"] == 1.0 and found["settings"]["link"] == "100mbit"
    result = found["result"]
    assert result["attacked"] == result["noticed"] == result["skipped"] == STEPS and result["false_alarms"] == 0
    assert 1 < result["perplexity_after"] < 200 and result["accuracy_after"] is None
    assert 0 < result["bubble"] < 1


def test_links_count_what_each_stage_sends(left: Path) -> None:
    links = pd.read_csv(left / "links.csv").set_index(["sender", "receiver"])["bytes"]
    result = json.loads((left / "result.json").read_text())["result"]
    assert links.sum() == result["sent_bytes"]
    activation = 4 * 4 * 64 * 32  # float32 of four samples of 64 tokens
    assert links[0, 1] > 2 * STEPS * activation and (1, 1) not in links


def test_steps_name_liar_and_accuser(left: Path) -> None:
    steps = pd.read_csv(left / "steps.csv")
    assert list(steps["step"]) == list(range(STEPS))
    assert list(steps["liar"]) == [1] * STEPS and list(steps["alarm"]) == [2] * STEPS


def test_a_workbook_has_the_tables_as_sheets(left: Path) -> None:
    sheets = pd.read_excel(left / "result.xlsx", sheet_name=None)
    assert list(sheets) == ["result", "steps", "links"]
    assert list(sheets["steps"]["liar"]) == [1] * STEPS and sheets["result"]["attacked"].item() == STEPS


def test_a_trace_and_events_are_written(left: Path) -> None:
    events = json.loads((left / "trace.json").read_text())["traceEvents"]
    assert {event["name"] for event in events} >= {"forward 0", "backward 1", "send activation 0", "send gradient 1"}
    assert list((left / "tensorboard").glob("events.out.*"))


def test_a_workbook_without_its_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "openpyxl" else found(name))
    with pytest.raises(UserError, match=r"--xlsx needs the package openpyxl: pip install btard\[xlsx\]"):
        main([*RUN, "--xlsx", "--output", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("flag", [["--xlsx"], ["--tensorboard"], ["--wandb", "offline"]])
def test_what_has_no_directory_to_go_to_is_refused(flag: list[str]) -> None:
    with pytest.raises(UserError, match="need an --output"):
        main([*RUN, *flag])
