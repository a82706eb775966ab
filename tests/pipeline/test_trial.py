"""A small GPT-2 in six stages learns the built-in text; lies keep it from that, unless stages are checked."""

from __future__ import annotations

import re

import pytest

from btard.cli.pipeline import main
from btard.errors import UserError

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


def test_the_defence_keeps_an_attacked_model_near_a_clean_one(capsys: pytest.CaptureFixture[str]) -> None:
    clean = tried(capsys)
    assert clean["final"] < clean["first"] - 0.9
    assert clean["attacked"] == clean["false"] == 0

    lost = tried(capsys, *LIES, "--no-check")
    assert lost["final"] > clean["final"] + 0.4
    assert lost["attacked"] > 20 and lost["noticed"] == 0

    defended = tried(capsys, *LIES)
    assert defended["noticed"] == defended["attacked"] == lost["attacked"]
    assert defended["false"] == 0
    assert defended["final"] < clean["final"] + 0.2


def test_gradients_that_lie_are_not_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    lies = (*LIES, "--forward-attack", "none", "--backward-attack", "noise")
    found = tried(capsys, "--split", "1-1-1", *lies)
    assert found["attacked"] > 20 and found["noticed"] == found["false"] == 0


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
