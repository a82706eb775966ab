"""A small GPT-2 in six stages learns the built-in text; lies keep it from that, unless stages are checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from btard.cli.pipeline import main
from btard.errors import UserError
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, run_trial
from btard.tasks.base import Schedule
from btard.tasks.registry import load_task
from btard.tasks.text import TextTask

STEPS = 40
LIES = ("--attack-rate", "0.7")


def tried(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    """Return what `btard pipeline run` prints."""
    assert main(["run", "--steps", str(STEPS), *words]) == 0
    text = capsys.readouterr().out
    numbers = re.search(r"text +(\S+) before, (\S+) after\n.* (\S+)\n.*lied +(\d+) of 40\n.* (\d+)\n.* (\d+)\n", text)
    assert numbers is not None, text
    names = ("first", "final", "perplexity", "attacked", "noticed", "false")
    return dict(zip(names, map(float, numbers.groups()), strict=True))


@pytest.mark.slow
def test_the_defence_keeps_an_attacked_model_near_a_clean_one(capsys: pytest.CaptureFixture[str]) -> None:
    clean = tried(capsys)
    assert clean["final"] < clean["first"] - 0.9
    assert clean["attacked"] == clean["false"] == 0

    lost = tried(capsys, *LIES, "--check", "none")
    assert lost["final"] > clean["final"] + 0.4
    assert lost["attacked"] > 20 and lost["noticed"] == 0

    defended = tried(capsys, *LIES, "--no-ban")
    assert defended["noticed"] == defended["attacked"] == lost["attacked"]
    assert defended["false"] == 0
    assert defended["final"] < clean["final"] + 0.2


def test_gradients_that_lie_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    lies = (*LIES, "--forward-attack", "none", "--backward-attack", "noise", "--no-ban")
    found = tried(capsys, "--split", "1-1-1", *lies)
    assert found["attacked"] > 20 and found["noticed"] == found["attacked"] and found["false"] == 0


def test_bans_leave_a_proof_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--split", "1-1-1-1", "--steps", "4", "--attack-rate", "1", "--evidence", str(tmp_path)]) == 0
    assert "peers banned                 4\n" in capsys.readouterr().out
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    for file in files:
        StageEvidence.from_json(file.read_bytes()).check()


def epochs(forward: str, backward: str) -> list[float]:
    """Return the mean training loss of each of six epochs."""
    plan = {"checked": False, "forward_codec": forward, "backward_codec": backward}
    trial = Trial(
        "gpt2",
        Split.parse("1-1-1-1"),
        OptimizerPlan(OptimizerKind.ADAMW, Schedule(2e-3, 5, 200)),
        48,
        2,
        4,
        PipelineOrder.ONE_FORWARD_ONE_BACKWARD,
        HONEST,
        seed=1,
        epoch_samples=64,
        plan=plan,
    )
    task = load_task("gpt", "tiny")
    assert isinstance(task, TextTask)
    losses = [report.loss or 0.0 for report in run_trial(trial, task).reports]
    return [sum(losses[start : start + 8]) / 8 for start in range(0, 48, 8)]


@pytest.mark.slow
def test_differences_train_as_floats_do() -> None:
    plain = epochs("none", "none")
    delta = epochs("delta:bits=4", "fixpoint:bits=8")
    direct = epochs("fixpoint:bits=2", "fixpoint:bits=8")
    apart = [abs(one / other - 1) for one, other in zip(delta, plain, strict=True)]
    assert max(apart[1:]) < 0.01, apart
    assert direct[-1] / plain[-1] - 1 > 5 * apart[-1]


def test_classes_are_scored_as_classes(capsys: pytest.CaptureFixture[str]) -> None:
    words = "run --family deberta-v2 --task sentences --split 1-1-1 --steps 2 --attack-rate 1"
    assert main(words.split()) == 0
    said = capsys.readouterr().out
    assert re.search(r"accuracy, F1, Matthews +0\.\d+, 0\.\d+, -?0\.\d+\n", said) and "perplexity" not in said
    assert re.search(r"of these noticed +2\n", said)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--task sentences", "the family gpt2 cannot train the task sentences; deberta-v2 can"),
        ("--family deberta-v2", "the family deberta-v2 cannot train the task gpt; gpt2, opt, bloom can"),
        ("--task digits", "cannot be cut into stages; gpt and sentences can"),
        ("--data wikitext-9", "neither 'builtin'"),
    ],
)
def test_a_task_that_a_family_cannot_train_is_refused(words: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        main(["run", *words.split()])
