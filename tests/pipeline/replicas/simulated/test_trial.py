"""`btard pipeline run --replicas`: what it trains, tells, leaves and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from btard.cli.main import main as program
from btard.cli.pipeline import main
from btard.cli.verdict import main as verdict
from btard.errors import UserError
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.replicas.rules import LEAST_REPLICAS, AveragingRules, check_replicas
from btard.pipeline.replicas.simulated.trial import ReplicaTrial, replica_plans
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.settings import TrialSettings
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, trial_task
from btard.round.draw import most_audits
from btard.tasks.base import Schedule

RUN = ("run", "--split", "1-1", "--check", "drawn", "--share", "0.25", "--replicas", "4", "--micro-batches", "1")


def tried(epoch: int | None = None) -> ReplicaTrial:
    optimizer = OptimizerPlan(OptimizerKind.SGD, Schedule(1e-3, 1, 10))
    order = PipelineOrder.GPIPE
    trial = Trial("gpt2", Split.parse("1-1"), optimizer, 2, 2, 4, order, HONEST, seed=5, epoch_samples=epoch)
    return ReplicaTrial(trial, 4, AveragingRules(0.1, 0.0))


def test_a_liar_is_banned_and_its_proof_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "9", "--replica-attack", "SIGN_FLIPPING", "--evidence", str(tmp_path)]
    assert main([*RUN, *words]) == 0
    said = capsys.readouterr().out
    assert "replicas of a stage equal    yes, to the bit\n" in said
    assert re.search(r"peers banned +1\nbanned in step \d +replica \d of stage 1 sent a vector that is not", said)
    assert verdict([str(tmp_path)]) == 0


def test_replicas_train_on_samples_of_their_own() -> None:
    plans = replica_plans(tried(epoch=64), trial_task("gpt", "builtin"), 32)
    drawn = [sample for plan in plans for samples in plan.ids(0) for sample in samples]
    assert len(set(drawn)) == len(drawn) == 32
    tokens = [batch.tensors["input_ids"].numpy().tobytes() for plan in plans for batch in plan.batches(0)]
    assert len(set(tokens)) == 8


def test_one_replica_is_the_run_that_was(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--split", "1-1", "--steps", "2"]
    assert main(words) == 0
    once = capsys.readouterr().out
    assert main([*words, "--replicas", "1"]) == 0
    assert capsys.readouterr().out == once


def test_the_least_number_is_that_of_which_one_validates() -> None:
    assert most_audits(LEAST_REPLICAS) == 1 and most_audits(LEAST_REPLICAS - 1) == 0
    with pytest.raises(UserError, match=f"give 1, or {LEAST_REPLICAS} or more"):
        check_replicas(TrialSettings(replicas=LEAST_REPLICAS - 1, check="drawn"))
    check_replicas(TrialSettings(replicas=LEAST_REPLICAS, check="drawn"))


def test_too_few_replicas_end_the_program_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert program(["pipeline", "run", "--replicas", "3", "--check", "drawn"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "give 1, or 4 or more" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--replicas 3 --check drawn", "of fewer than 4 replicas no validator is drawn"),
        ("--replicas 4", "give --check drawn"),
        ("--replicas 4 --check none", "give --check drawn"),
        ("--replicas 4 --check drawn --relative-error 0.1", "leave --relative-error and --code-share away"),
        ("--replicas 4 --check drawn --precision fp16", "leave --precision away"),
        ("--replicas 4 --check drawn --attack-rate 0.1", "lies with --replica-attack"),
        ("--precision fp16 --backward-codec fp16", "clips gradients that overflow"),
        ("--precision fp16 --code-share 0.01", "need not overflow alike"),
        ("--replicas 4 --check drawn --output /nowhere/there", "leave them away"),
        ("--replicas 4 --check drawn --replica-attack WHATEVER", "--replica-attack is 'WHATEVER'"),
        ("--replica-attack SIGN_FLIPPING", "give --replicas 4 or more"),
    ],
)
def test_what_replicas_do_not_do_is_refused(words: str, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        main(["run", *words.split()])
