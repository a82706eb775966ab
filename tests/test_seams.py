"""A stranger adds to this project what it does not know: one file each, and one line that names it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BEHAVIOUR = '''
"""Sends its gradient threefold."""

from btard.byzantine.attacker import Attacker


class Threefold(Attacker):
    """Honest until the schedule says otherwise."""

    name = "THREEFOLD"

    def gradient(self, step, gradient):
        return 3.0 * gradient if self.attacks(step) else gradient
'''


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return an empty folder on the path with what an installer writes beside a package."""
    folder = tmp_path / "stranger"
    (folder / "stranger-1.0.dist-info").mkdir(parents=True)
    (folder / "stranger-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    return folder


def add(stranger: Path, module: str, source: str, group: str, entry: str) -> None:
    """Write one file, and one line below the heading of its group."""
    (stranger / f"{module}.py").write_text(textwrap.dedent(source))
    with (stranger / "stranger-1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write(f"[{group}]\n{entry}\n")


def btard(stranger: Path, *words: str) -> str:
    """Run the program with the stranger's folder on its path, and return its output."""
    environment = {**os.environ, "PYTHONPATH": f"{stranger}{os.pathsep}{ROOT}"}
    result = subprocess.run(
        [sys.executable, "-m", "btard.cli.main", *words],
        env=environment,
        cwd=stranger.parent,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_behaviour_is_one_file_and_one_line(stranger: Path) -> None:
    add(stranger, "threefold", BEHAVIOUR, "btard.behaviours", "THREEFOLD = threefold:Threefold")
    swarm = ("simulate", "--peers", "6", "--byzantine", "1", "--attack", "THREEFOLD", "--validators", "2")
    told = btard(stranger, *swarm, "--steps", "12", "--seed", "1")
    assert re.search(r"all attackers out +\d+ steps after the first attack", told), told
    assert re.search(r"honest peers banned +0", told)


def test_the_guide_says_how() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for group in ("btard.rules", "btard.tasks", "btard.behaviours"):
        assert f'[project.entry-points."{group}"]' in guide
    for document in re.findall(r"\]\(([\w/.-]+)\)", guide):
        assert (ROOT / document).is_file(), document
