"""Real processes, four pipelines of two stages: a replica that lies is banned, and killed ones cost no result."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from btard.cli.main import main
from btard.deploy.pipeline.processes import StageProcessesPlan
from btard.deploy.pipeline.run import coordinator_words
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.replicas.rules import AveragingRules
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.stages.weights import draw_weights
from btard.swarm.manifest import RunManifest
from btard.tasks.registry import load_task
from tests.deploy.pipeline.running import running
from tests.deploy.pipeline.test_lies import manifest_of, run_to_the_end
from tests.deploy.pipeline.test_processes import settings

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

REPLICAS = {"split": "1-1", "replicas": 4, "check": "drawn", "micro_batches": 1, "keep_every": 2}


def undisturbed(manifest: RunManifest) -> list[float]:
    """Return the losses of the same run in one process, over simulated messages."""
    torch.set_num_threads(1)
    builder, terms = StageBuilder(manifest, load_task(manifest.chosen_task, manifest.size)), manifest.pipeline
    assert terms is not None
    seating = Seating(manifest.run, 1, 0, (), (DRAWN,) * terms.stages)
    plans = [builder.plan(seating, replica) for replica in range(terms.replicas)]
    averaging, state = AveragingRules(terms.tau, terms.share), draw_weights(builder.cut.config, manifest.seed)
    pipelines = Pipelines(builder.cut, state, builder.optimizer, plans, averaging)
    return [pipelines.step(step).loss for step in range(manifest.total_steps)]


def test_a_replica_that_lies_loses_its_seat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = settings(tmp_path / "run", steps=24, spare=1, share=0.25, **REPLICAS)
    plan = StageProcessesPlan.make(tmp_path / "run", 9, coordinator_words(told), told.seed)
    lies = {"ATTACK_TYPE": "SIGN_FLIPPING", "ATTACK_START": "3"}
    plan = replace(plan, environments={plan.peers[3].name: lies})
    processes = run_to_the_end(plan, in_order=True)
    summary, liar = processes.summary(), plan.peers[3]
    assert summary is not None and summary["banned"] == [str(liar.peer_id)], "others are banned, or nobody"
    (ban,) = summary["bans"]
    assert (ban["offence"], ban["stage"]) == ("GRADIENT", 1)
    assert processes.codes == {name: 3 if name == liar.name else 0 for name in processes.codes}
    assert processes.seating is not None and processes.seating.seats[3] == str(plan.peers[8].peer_id)
    assert summary["training_loss"] < 0.95 * processes.losses[0], "nothing was learnt"
    assert main(["verdict", ban["evidence"]]) == 0
    assert "PROVEN" in capsys.readouterr().out


def test_replicas_that_are_killed_change_no_result(tmp_path: Path) -> None:
    """No validator is drawn, so every average is of all gradients; the sums' order follows from the keys."""
    told = settings(tmp_path / "run", steps=24, spare=2, share=0.0, **REPLICAS)
    plan = StageProcessesPlan.make(tmp_path / "run", 10, coordinator_words(told), told.seed)
    with running(plan) as processes:
        victims = []
        for seat in (2, 7):
            at = processes.step + 5
            assert processes.wait(lambda at=at: processes.step >= at, 240), f"no step {at}"
            victims.append(processes.name_of(seat))
            processes.kill(victims[-1])
            at = processes.step + 4
            assert processes.wait(lambda at=at: processes.step >= at, 240), "training does not go on"
        assert processes.wait(lambda: not processes.pids, 300), "the run does not end"
        processes.look()
    assert processes.codes == {name: -signal.SIGKILL if name in victims else 0 for name in processes.codes}
    losses = undisturbed(manifest_of(plan))
    assert processes.losses[23] == pytest.approx(losses[-1], rel=1e-4)
    assert losses[-1] < 0.95 * losses[0], "nothing was learnt"
