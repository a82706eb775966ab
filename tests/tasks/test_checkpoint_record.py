"""What a checkpoint says of itself is compared with a run before any model is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.errors import UserError
from btard.tasks.checkpoint_record import CHECKPOINT_FORMAT, CheckpointRecord
from btard.vocabulary import CHECKPOINT_FILE


@pytest.fixture
def record(tmp_path: Path) -> CheckpointRecord:
    made = CheckpointRecord(
        format=CHECKPOINT_FORMAT,
        task="gpt",
        size="tiny",
        fingerprint="f",
        step=50,
        state_file="state-0123456789abcdef.safetensors",
        state_digest="0" * 64,
        extra={},
    )
    (tmp_path / CHECKPOINT_FILE).write_text(made.model_dump_json())
    return made


def test_it_is_read_as_it_was_written(tmp_path: Path, record: CheckpointRecord) -> None:
    assert CheckpointRecord.read(tmp_path) == record
    (tmp_path / CHECKPOINT_FILE).write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        CheckpointRecord.read(tmp_path)
    with pytest.raises(UserError, match="there is no checkpoint in"):
        CheckpointRecord.read(tmp_path / "nowhere")


def test_it_must_be_of_the_same_run(tmp_path: Path, record: CheckpointRecord) -> None:
    record.check(tmp_path, "gpt", "tiny")
    record.check(tmp_path, "gpt", "tiny", "f")
    for task, size, fingerprint, says in (
        ("albert", "tiny", None, "has task gpt, but this run has albert"),
        ("gpt", "small", None, "has size tiny, but this run has small"),
        ("gpt", "tiny", "g", "has data fingerprint f, but this run has g"),
    ):
        with pytest.raises(UserError, match=says):
            record.check(tmp_path, task, size, fingerprint)
    with pytest.raises(UserError, match="has format 9"):
        record.model_copy(update={"format": 9}).check(tmp_path, "gpt", "tiny")


def test_it_must_not_be_beyond_the_end(tmp_path: Path, record: CheckpointRecord) -> None:
    record.check_step(tmp_path, None, "--steps")
    record.check_step(tmp_path, 51, "--steps")
    with pytest.raises(UserError, match="is at step 50, but the run has only 50 steps: give a larger --steps"):
        record.check_step(tmp_path, 50, "--steps")
