"""The example of the guide is built, installed beside the project, selected by its name, and gets its verdict."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "btard-behaviour-example"

SCRIPT = """
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from tests.btard.round.swarm import Swarm

liar = make_behaviour(BehaviourSettings(attack_type="LOPSIDED", attack_start=1), seed=b"s")
swarm = Swarm(6, steps=3, behaviours={2: liar}).run()
swarm.check_agreement()
print(liar.name, [len(peer.finished()[-1].roster.banned) for peer in swarm.honest])
"""


def test_the_example_is_a_package_of_its_own(tmp_path: Path) -> None:
    # Copied, since building leaves files beside the source.
    source = Path(shutil.copytree(EXAMPLE, tmp_path / "source"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    target = tmp_path / "installed"
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(source)], check=True, cwd=tmp_path)
    environ = {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}"}
    result = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == "LOPSIDED [1, 1, 1, 1, 1]\n", result.stderr


def test_the_guide_shows_the_example() -> None:
    guide = (ROOT / "docs" / "writing-a-behaviour.md").read_text()
    for line in ("numbers[:1] += 1.0", "return 2.0 * gradient if self.attacks(step) else gradient"):
        assert line in guide and line in (EXAMPLE / "btard_behaviour_example.py").read_text()
    assert 'LOPSIDED = "btard_behaviour_example:Lopsided"' in (EXAMPLE / "pyproject.toml").read_text()
