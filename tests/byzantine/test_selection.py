"""Behaviours are found by name, ours and those of a package that is really built and installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from btard import plugins
from btard.behaviour import Behaviour
from btard.byzantine.gradients.live.alone import ConstantDirection, SignFlipping
from btard.byzantine.gradients.live.spoiled_labels import SpoiledLabels
from btard.byzantine.installed import BEHAVIOURS_GROUP
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.configuration import load_settings
from btard.errors import UserError

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "strangers-attacks"
version = "1.0"

[project.entry-points."btard.behaviours"]
ZERO = "strangers_attacks:Zero"
BROKEN = "strangers_attacks.missing:Broken"

[tool.setuptools]
py-modules = ["strangers_attacks"]
"""

MODULE = """
import torch
from btard.byzantine.attacker import Attacker


class Zero(Attacker):
    name = "ZERO"

    def gradient(self, step, gradient):
        return torch.zeros_like(gradient) if self.attacks(step) else gradient
"""

SCRIPT = """
import torch
from btard.errors import UserError
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings

zero = make_behaviour(BehaviourSettings(attack_type="ZERO", attack_start=1), seed=b"s")
print(zero.name, zero.gradient(0, torch.ones(2)).tolist(), zero.gradient(1, torch.ones(2)).tolist())
for name in ("BROKEN", "NOVEL"):
    try:
        make_behaviour(BehaviourSettings(attack_type=name), seed=b"s")
    except UserError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NONE", Behaviour),
        ("SIGN_FLIPPING", SignFlipping),
        ("CONSTANT_DIRECTION", ConstantDirection),
        ("LABEL_FLIPPING", SpoiledLabels),
    ],
)
def test_our_own_are_found_by_the_published_variable(name: str, expected: type[Behaviour]) -> None:
    settings = load_settings(BehaviourSettings, [], program="btard-peer", environ={"ATTACK_TYPE": name})
    behaviour = make_behaviour(settings, seed=b"seed")
    assert type(behaviour) is expected
    assert behaviour.name == name


def test_an_unknown_attack_lists_those_that_exist() -> None:
    with pytest.raises(UserError) as caught:
        make_behaviour(BehaviourSettings(attack_type="SIGN_FLIP"), seed=b"")
    message = str(caught.value)
    assert message.startswith("ATTACK_TYPE is 'SIGN_FLIP', but must be one of those installed: ")
    assert all(name in message for name in ("NONE", "SIGN_FLIPPING", "CONSTANT_DIRECTION", "LABEL_FLIPPING"))


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ([], "no behaviour is installed, not even NONE"),
        (["a:X", "b:X"], "ATTACK_TYPE TWICE is claimed by a and b"),
    ],
)
def test_an_ambiguous_or_empty_installation(
    monkeypatch: pytest.MonkeyPatch, installed: list[str], message: str
) -> None:
    entries = EntryPoints(EntryPoint("TWICE", value, BEHAVIOURS_GROUP) for value in installed)
    monkeypatch.setattr(plugins, "_installed", lambda group, path: entries)
    with pytest.raises(UserError, match=message):
        make_behaviour(BehaviourSettings(attack_type="TWICE"), seed=b"")


def test_a_package_from_outside_adds_a_behaviour(tmp_path: Path) -> None:
    source, target = tmp_path / "package", tmp_path / "installed"
    source.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "strangers_attacks.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(source)], check=True, cwd=tmp_path)
    environ = {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    zero, broken, novel = result.stdout.splitlines()
    assert zero == "ZERO [1.0, 1.0] [0.0, 0.0]"
    assert broken.startswith("ATTACK_TYPE BROKEN cannot be imported from the package strangers-attacks: ModuleNotFound")
    assert "ZERO" in novel and "SIGN_FLIPPING" in novel
