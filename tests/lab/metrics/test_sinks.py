"""What a run writes can be read back, and the published files have their published bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import pytest

from btard.lab.metrics.legacy import LegacyFiles
from btard.lab.metrics.study import STUDY_COLUMNS
from btard.lab.metrics.tables import SCHEMA, Row, TableName, Tables
from tests.lab.training.helpers import experiment

GOLDEN = Path(__file__).with_name("golden")


def study_row(step: int) -> Row:
    return {
        name: [step, 40 * step, 0.5, math.nan, -1.25e-7, 123456.75][min(i, 5)] for i, name in enumerate(STUDY_COLUMNS)
    }


def test_published_files_have_their_published_bytes(tmp_path: Path) -> None:
    files = LegacyFiles(tmp_path, {"nb_workers": 7, "gar": "krum", "gar_args": ["m:3"], "gars": None})
    for step in range(2):
        files.write(TableName.STUDY, study_row(step))
        row: Row = {"step": 5 * step, "accuracy": 0.0974 + step, "loss": 1.0, "parameters": "ab"}
        files.write(TableName.EVALUATIONS, row)
        files.write(TableName.BANS, {"step": 1, "worker": 2, "reason": "lottery", "honest": 0})
    files.close()
    names = sorted(path.name for path in GOLDEN.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names == ["config", "config.json", "eval", "study"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes(), name


def test_published_options_of_a_run_stand_in_its_config(tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"attackers": 2, "attack": "opposite", "rule": "trimmed_mean:share=0.4", "nesterov": True}
    experiment(**chosen, output=tmp_path / "run", format=["legacy"], steps=1).run()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    expected = {"nb_workers": 7, "nb_decl_byz": 2, "nb_honests": 5, "gar": "trimmed_mean", "gar_args": ["share:0.4"]}
    expected |= {"attack": "opposite", "momentum_nesterov": True, "momentum_at": "update"}
    assert {name: config[name] for name in expected} == expected
    table = pandas.read_csv(tmp_path / "run" / "study", sep="\t", index_col=False)
    assert list(table.columns) == ["# Step number", *STUDY_COLUMNS[1:]] and len(table) == 1


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_read_back_as_they_were_in_memory(tmp_path: Path, form: str) -> None:
    chosen: dict[str, Any] = {
        "attackers": 2,
        "attack": "opposite",
        "bans": "lottery",
        "ban_probability": 0.3,
        "steps": 6,
    }
    made = experiment(**chosen, output=tmp_path / "run", format=[form]).run()
    for table in TableName:
        frame = made.tables.frame(table)
        path = tmp_path / "run" / f"{table}.{form}"
        read = pandas.read_csv(path) if form == "csv" else pandas.read_parquet(path)
        pandas.testing.assert_frame_equal(read, frame, check_dtype=False)
        assert list(frame.columns) == [column.name for column in SCHEMA[table]] and len(frame)


def test_parquet_says_what_columns_mean_and_of_which_settings(tmp_path: Path) -> None:
    made = experiment(output=tmp_path / "run", format=["parquet"], steps=1).run()
    schema = pyarrow.parquet.read_schema(tmp_path / "run" / "steps.parquet")
    assert schema.metadata[b"settings"].decode() == made.settings.digest
    assert schema.field("sent").metadata[b"unit"] == b"bytes"


def test_tables_without_rows_keep_their_columns() -> None:
    assert list(Tables().frame(TableName.BANS).columns) == ["step", "worker", "reason", "honest"]


def test_tensorboard_is_fed_under_the_published_tags(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    chosen: dict[str, Any] = {"rule": "centered_clip:tau=0.1", "steps": 3, "tensorboard": True}
    made = experiment(**chosen, output=tmp_path / "run").run()
    events = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = {"train/loss", "train/lr", "util/n_clipped", "util/num_steps", "util/std", "test/accuracy"}
    assert tags <= set(events.Tags()["scalars"]) and "config/text_summary" in events.Tags()["tensors"]
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses == pytest.approx(list(made.steps.loss))


def test_wandb_keeps_a_run_for_later_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    experiment(output=tmp_path / "run", wandb="offline", steps=2).run()
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
