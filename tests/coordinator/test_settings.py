"""The coordinator's settings, and their promise to be light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from btard.configuration import load_settings
from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.swarm.manifest import Deadlines


def load(*words: str) -> CoordinatorSettings:
    return load_settings(CoordinatorSettings, ["--experiment", "x", *words], program="btard-coordinator", environ={})


def test_default_deadlines_are_those_of_the_manifest() -> None:
    chosen = load()
    for name, value in Deadlines().model_dump().items():
        assert getattr(chosen, f"{name}_timeout") == value


def test_settings_import_neither_torch_nor_hivemind() -> None:
    script = (
        "import sys, btard.coordinator.settings, btard.coordinator.daemon\n"
        "sys.exit(' '.join(name for name in ('torch', 'hivemind', 'numpy') if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""


@pytest.mark.parametrize(
    ("words", "steps"),
    [((), ()), (("published",), (450, 950, 2950, 4950)), (("published,3", "7", "450"), (3, 7, 450, 950, 2950, 4950))],
)
def test_checkpoint_steps(words: tuple[str, ...], steps: tuple[int, ...]) -> None:
    assert load(*(("--checkpoint-at", *words) if words else ())).checkpoint_steps == steps


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--checkpoint-at", "soon"], "--checkpoint-at is ['soon'], but must be whole numbers of steps"),
        (["--checkpoint-at", "-3"], "--checkpoint-at"),
        (["--peers", "0"], "--peers is 0, but must be a whole number of peers from 1 to 256"),
        (
            ["--rule", "middle"],
            "--rule is 'middle', but must be one of those installed: aksel, bulyan, caf, centered_clip, ",
        ),
        (["--momentum", "1"], "--momentum is 1, but must be a number at least 0 and below 1"),
        (["--refresh-period", "0"], "--refresh-period is 0"),
        (["--warmup-steps", "9", "--total-steps", "9"], "the warm-up of 9 steps must be shorter"),
    ],
)
def test_bad_settings_are_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(*words)
    assert str(caught.value).startswith(sentence)


def test_tau_has_its_published_names() -> None:
    chosen = load_settings(
        CoordinatorSettings, ["--experiment", "x"], program="btard-coordinator", environ={"HIVEMIND_TAU": "0.125"}
    )
    assert chosen.tau == 0.125
