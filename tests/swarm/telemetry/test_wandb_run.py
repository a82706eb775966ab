"""Weights & Biases: with the real package, offline, a run's file holds what was told; failures cost nothing else."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from btard.errors import UserError
from btard.peer.settings import PeerSettings
from btard.peer.telemetry.meter import PeerStep
from btard.peer.telemetry.recorder import begin_wandb, point
from btard.swarm.telemetry.wandb_run import WandbRun
from btard.transport.stages import Stage
from btard.vocabulary import WandbMode
from tests.peer.helpers import KEYS, run_manifest

_BLOCK = 32 << 10
PATIENCE = 60.0
STEP = PeerStep(3, 0.5, dict.fromkeys(Stage, 0.25), 1.5, 8)


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: a header of 7 bytes, then pieces in the format of LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data.startswith(b":W&B")
    at, body = 7, b""
    while at < len(data):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        body += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(body)
            body = b""
            yield record


def finished(file: Path) -> list[Any]:
    """The records of a file once the last one is there: wandb's process writes it after `finish` has returned."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # A file that is written just now ends within a record.
        with contextlib.suppress(struct.error, DecodeError):
            found = list(records(file))
            if found and found[-1].WhichOneof("record_type") == "exit":
                return found
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end after {PATIENCE:g} s")


def history(directory: Path) -> tuple[Any, list[dict[str, Any]]]:
    """The run and the points of the one offline run below a directory."""
    (file,) = directory.glob("wandb/offline-run-*/*.wandb")
    found = finished(file)
    (run,) = {record.run.run_id: record.run for record in found if record.WhichOneof("record_type") == "run"}.values()
    points = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return run, [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items} for items in points]


def test_a_peer_tells_its_steps_offline(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    settings = PeerSettings.model_validate(
        {"initial_peers": ["host:1"], "directory": tmp_path, "wandb": "offline", "wandb_project": "strangers"}
    )
    manifest, key = run_manifest(experiment="test"), KEYS[0].peer_id
    run = begin_wandb(settings, manifest, key)
    assert run is not None
    run.log(3, point(STEP))
    run.log(4, point(PeerStep(4, 0.75, {}, None, 0)))
    run.close()
    kept, points = history(tmp_path)
    assert kept.run_id == f"{manifest.run_id}-{key}" and kept.display_name == f"test {key.short}"
    assert (kept.project, kept.run_group) == ("strangers", manifest.run_id)
    shown = {f"seconds/{stage.value}": 0.25 for stage in Stage}
    assert {"loss": 1.5, "samples": 8, "step": 3, "seconds": 0.5, **shown}.items() <= points[0].items()
    assert [(each["_step"], each["loss"]) for each in points] == [(3, 1.5), (4, None)]
    assert capfd.readouterr().out == ""


def test_without_the_flag_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    settings = PeerSettings.model_validate({"initial_peers": ["host:1"]})
    assert begin_wandb(settings, run_manifest(), KEYS[0].peer_id) is None
    with pytest.raises(UserError, match="needs the package wandb"):
        begin_wandb(settings.model_copy(update={"wandb": WandbMode.OFFLINE}), run_manifest(), KEYS[0].peer_id)


class BrokenRun:
    def log(self, point: dict[str, Any], step: int) -> None:
        raise RuntimeError("no network")

    def finish(self) -> None:
        raise RuntimeError("still none")


def test_a_failure_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = types.ModuleType("wandb")
    module.init = lambda **settings: BrokenRun()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    run = WandbRun(WandbMode.ONLINE, "p", run_id="r", name="n", group="g", directory=tmp_path, config={})
    for step in range(3):
        run.log(step, {"loss": 1.0})
    run.close()
    assert [record.getMessage() for record in caplog.records] == [
        "wandb does not take metrics: no network",
        "wandb did not finish: still none",
    ]
