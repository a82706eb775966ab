"""A run directory of an earlier version, `old_run`, is read by whatever reads runs, and its coordinator goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from btard.cli.main import main
from btard.coordinator.dashboard.model import RunModel
from btard.coordinator.dashboard.source import RunSource, coordinator_directory
from btard.coordinator.run_directory import RunDirectory
from btard.deploy.experiment.results import read_run
from btard.deploy.local.plan import Member
from btard.deploy.local.status import PeerState, RunStatus
from btard.deploy.local.summary import Summary
from btard.identity import PeerId
from btard.peer.keeping.progress import Progress
from btard.swarm.bans import BanBook
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState

RUN_ID = "84a5f757c55f08f6138673b5f1b53def"
HONEST = "12D3KooWAi3GGRX5N697uH37fsPeU9G6Y5LPuGqUDrgL12t6bzCY"
LIAR = "12D3KooWJJmgv8cHBgyhqj2Vy9i6mGCBfTNGKdBqdDotKNQJkVX4"
LIE = "sent a vector that is not the gradient of its public seed"
STATE = "0e544fc7d926cdb587c7465547c8b3f9765b945ff8b81b3ca22570d761f651e8"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a copy, since a coordinator writes into its directory."""
    return Path(shutil.copytree(Path(__file__).with_name("old_run"), tmp_path / "swarm"))


@pytest.mark.parametrize("holder", ["coordinator", "peer-0"])
def test_its_evidence_is_proven(holder: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdict", "--json", "--run", str(run / holder), str(run / holder / "bans")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["proven"], told["peer"], told["step"], told["offence"]) == (True, LIAR, 13, "GRADIENT")


def test_its_evidence_does_not_survive_a_change(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (run / "peer-0" / "bans").glob("*.json")
    evidence = json.loads(file.read_text())
    other = {"accused": HONEST, "words": evidence["words"].replace(LIAR, HONEST)}
    file.write_text(json.dumps(evidence | other))
    assert main(["verdict", str(file)]) == 1
    assert "NOT PROVEN" in capsys.readouterr().out


def test_its_page_is_replayed(run: Path) -> None:
    model = RunModel()
    RunSource(coordinator_directory(run)).read_all(model)
    page: dict[str, Any] = model.sections()
    shown = page["run"]
    assert (shown["run_id"], shown["state"], shown["step"], shown["alive"]) == (RUN_ID, "finished", 24, 5)
    (ban,) = page["bans"]
    assert (ban["peer"], ban["step"], ban["proven"], ban["words"]) == (LIAR, 13, True, LIE)
    assert page["verdicts"]["found"] == {"differs": 1, "same": 6}
    assert len(model.curves()["rows"]) == 25


@pytest.mark.parametrize("holder", ["coordinator", "peer-0", "peer-5"])
def test_its_roster_is_explained(holder: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roster", str(run / holder)]) == 0
    assert re.search(rf"step +13 +banned +{LIAR} .*{LIE}", capsys.readouterr().out)


def test_its_results_are_summarised(run: Path) -> None:
    result = read_run(run, until=25)
    assert sorted(set(range(25)) - result.losses.keys()) == [13], "in which the honest peer that is kept validates"
    assert (result.attack_start, result.banned_liars, result.banned_honest, result.liars) == (4, (13,), (), 1)
    summary = Summary.model_validate_json((run / "summary.json").read_bytes())
    assert (summary.steps, summary.survivors, [ban.step for ban in summary.bans]) == (25, 5, [13])


def test_the_table_of_its_peers_is_shown(run: Path) -> None:
    honest = Member("peer-0", run / "peer-0", PeerId.parse(HONEST))
    liar = Member("peer-5", run / "peer-5", PeerId.parse(LIAR), "SIGN_FLIPPING")
    status = RunStatus([honest, liar], Member("coordinator", run / "coordinator", PeerId.parse(HONEST)), 25)
    status.refresh()
    shown = {name: (peer.state, peer.step) for name, peer in status.peers.items()}
    assert shown == {"peer-0": (PeerState.FINISHED, 24), "peer-5": (PeerState.BANNED, 12)}


def test_its_peers_know_where_they_were(run: Path) -> None:
    assert Progress(run / "peer-0" / "progress", RUN_ID).step == 24
    manifest = RunDirectory(run / "coordinator").load_manifest()
    assert manifest is not None and manifest.run_id == RUN_ID
    taken_up = BanBook(run / "peer-0" / "bans", manifest.step_rules)
    assert taken_up.evidence_of(PeerId.parse(LIAR)) is not None


def test_its_checkpoint_is_loaded(run: Path) -> None:
    state = TrainingState(load_task("digits", "tiny"), seed=3)
    assert state.load_checkpoint(run / "coordinator" / "checkpoints" / "step-000025").step == 25
    assert state.digest().hex() == STATE


@pytest.mark.swarm
def test_its_coordinator_goes_on(run: Path) -> None:
    """As after a kill at the last moment, before it could say that the run was over, and with its own old settings."""
    directory = run / "coordinator"
    (directory / "summary.json").unlink()
    (directory / "identity.key").chmod(0o600)
    manifest, roster = (directory / "manifest.json").read_bytes(), RunDirectory(directory).load_roster()
    assert roster is not None and roster.banned == {PeerId.parse(LIAR)} and len(roster.members) == 5
    before = len((directory / "events.jsonl").read_text().splitlines())
    words = ["--config", str(directory / "config.yaml"), "--directory", str(directory), "--dht-port", "0"]
    coordinator = subprocess.Popen(
        [sys.executable, "-m", "btard.cli.coordinator", *words],
        env={**os.environ, "TMPDIR": str(run.parent), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert coordinator.stderr is not None
        told = ""
        while "join with: btard-peer" not in told:
            line = coordinator.stderr.readline()
            assert line, told
            told += line
    finally:
        coordinator.send_signal(signal.SIGINT)
        _, rest = coordinator.communicate(timeout=60)
    assert coordinator.returncode == 130, told + rest
    assert "run swarm (resumed)" in told
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()[before:]]
    started = events[0]
    assert (started["event"], started["run_id"], started["resumed"]) == ("started", RUN_ID, True)
    assert "genesis" not in {event["event"] for event in events}
    assert (directory / "manifest.json").read_bytes() == manifest
