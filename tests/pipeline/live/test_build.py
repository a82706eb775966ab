"""What a manifest says becomes what a stage computes, and all that stages say of it fits into what is let in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from btard.errors import UserError
from btard.identity import IdentityKey
from btard.pipeline.choices import AfterAlarm, CheckMode
from btard.pipeline.defence.attacks import MessageLie
from btard.pipeline.defence.behaviours import Persistent
from btard.pipeline.live.build import CACHE_BYTES, StageBuilder, cut_of, numbers_of
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import SendStage
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.registry import load_task
from btard.vocabulary import Precision
from tests.coordinator.pipeline.proofs import KEYS
from tests.coordinator.swarm import manifest
from tests.coordinator.test_pipeline_terms import TERMS

TASK = load_task("gpt", "tiny")
CODECS = {"forward_codec": "delta:bits=4", "backward_codec": "fixpoint:bits=8", "epoch_samples": 16}


def run_of(**changes: Any) -> RunManifest:
    terms = PipelineTerms(**{**TERMS, "blocks": (1, 1, 1), **changes})
    numbers = numbers_of(cut_of(terms, TASK))
    given = {"pipeline": terms.model_dump(), "dimension": numbers, "fingerprint": TASK.fingerprint, "peers": 3}
    return manifest(task="gpt", total_steps=10, **given)


def seating_of(run: RunManifest, number: int = 1) -> Seating:
    return Seating(run.run, number, 0, tuple(key.peer_id for key in KEYS[:3]), (DRAWN,) * 3)


def machines_of(run: RunManifest, directory: Path, liar: int | None = None) -> list[StageMachine]:
    machines = []
    for stage in range(3):
        lies = {"behaviour": Persistent(forward=MessageLie.REVERSE)} if stage == liar else {}
        builder = StageBuilder(run, TASK, directory, **lies)
        states = dict.fromkeys(builder.held_by(stage))
        machines.append(builder.machine(seating_of(run), KEYS[stage], stage, states))
    return machines


@pytest.mark.parametrize("epoch_samples", [0, 64])
def test_pipelines_share_out_the_samples_of_a_step(epoch_samples: int) -> None:
    run = run_of(replicas=4, tau=0.1, check="drawn", epoch_samples=epoch_samples)
    builder = StageBuilder(run, TASK)
    peers = tuple(IdentityKey.from_seed(bytes([n + 1]) * 32).peer_id for n in range(12))
    seating = Seating(run.run, 1, 0, peers, (DRAWN,) * 3)
    plans = [builder.plan(seating, replica) for replica in range(4)]
    assert [plan.roster for plan in plans] == [peers[3 * n : 3 * n + 3] for n in range(4)]
    assert len({plan.run for plan in plans}) == 4
    drawn = [[batch.tensors["input_ids"].numpy().tobytes() for batch in plan.batches(1)] for plan in plans]
    assert all(len(batches) == builder.terms.micro_batches for batches in drawn)
    assert len({each for batches in drawn for each in batches}) == 4 * builder.terms.micro_batches
    if epoch_samples:
        ids = [number for plan in plans for numbers in plan.ids(1) for number in numbers]
        assert len(set(ids)) == len(ids)
    known = builder.all_steps(seating)(1)
    assert [step.facts.roster for step in known] == [plan.roster for plan in plans]
    assert [step.batches[0].tensors["input_ids"].numpy().tobytes() for step in known] == [each[0] for each in drawn]


def test_a_plan_is_what_the_manifest_says(tmp_path: Path) -> None:
    run = run_of(**CODECS, check="drawn", share=0.5, after_alarm="restart", ban=False, raw_steps=2, code_share=0.1)
    builder = StageBuilder(run, TASK, tmp_path)
    plan = builder.plan(seating_of(run))
    assert (plan.forward_codec, plan.backward_codec, plan.raw_steps) == ("delta:bits=4", "fixpoint:bits=8", 2)
    assert (plan.checked, plan.mode, plan.share, plan.ban) == (True, CheckMode.DRAWN, 0.5, False)
    assert (plan.after_alarm, plan.comparison.code_share) == (AfterAlarm.RESTART, 0.1)
    assert (plan.cache_directory, plan.cache_bytes) == (tmp_path, CACHE_BYTES)
    epochs = [[number for ids in plan.ids(step) + plan.ids(step + 1) for number in ids] for step in (0, 2)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1]) == list(range(16))
    assert [builder.held_by(stage) for stage in range(3)] == [(0,), (1,), (2,)]


def test_stages_compute_in_the_precision_of_the_run(tmp_path: Path) -> None:
    run = run_of().model_copy(update={"precision": "fp16"})
    machines = machines_of(run, tmp_path)
    assert {machine.worker.plan.precision for machine in machines} == {Precision.FLOAT16}
    builder = StageBuilder(run, TASK, tmp_path)
    assert builder.facts(seating_of(run)).optimizer == machines[0].worker.plan
    stages = run_stages(machines, 2)
    assert all(report.alarm is None for stage in stages for report in stage.reports)
    clipping = run_of(backward_codec="fp16").model_copy(update={"precision": "fp16"})
    with pytest.raises(UserError, match="clips gradients that overflow"):
        StageBuilder(clipping, TASK, tmp_path)


def test_an_unchecked_run_says_so(tmp_path: Path) -> None:
    run = run_of(check="none")
    assert not StageBuilder(run, TASK, tmp_path).plan(seating_of(run)).checked


def test_first_states_are_known_only_from_the_seed() -> None:
    run = run_of()
    builder, first = StageBuilder(run, TASK), seating_of(run)
    later = Seating(run.run, 2, 4, first.seats, (bytes([1]) * 32,) * 3)
    assert len(builder.plan(first).first_states) == 3
    assert builder.plan(later).first_states == ()


@pytest.mark.parametrize("check", ["live", "drawn"])
@pytest.mark.parametrize("codecs", [{}, CODECS], ids=["raw", "codecs"])
def test_all_that_stages_say_fits(tmp_path: Path, check: str, codecs: dict[str, Any], monkeypatch) -> None:
    run = run_of(check=check, share=1.0, **codecs)
    builder, lengths = StageBuilder(run, TASK, tmp_path), []
    made = SendStage.__init__

    def measured(self: SendStage, stages: tuple[int, ...], data: bytes) -> None:
        lengths.append(len(data))
        made(self, stages, data)

    monkeypatch.setattr(SendStage, "__init__", measured)
    stages = run_stages(machines_of(run, tmp_path, liar=1), 2)
    assert stages[0].bans, "no case and no verdict was sent"
    assert max(lengths) <= builder.most_message_bytes
    assert max(max(stage.sent_bytes.values()) for stage in stages) <= builder.most_pending_bytes
    assert len(stages[0].bans[0].evidence) <= builder.most_evidence_bytes


def test_a_stage_that_is_made_anew_remembers_no_sample(tmp_path: Path) -> None:
    run = run_of(**CODECS)
    old = machines_of(run, tmp_path)
    run_stages(old, 3)
    kept = old[0].context.channels._boundaries[0]
    assert kept.entries(range(16)), "nothing was kept"
    new = machines_of(run, tmp_path)
    assert not new[0].context.channels._boundaries[0].entries(range(16))
