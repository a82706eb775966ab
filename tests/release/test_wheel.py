"""The wheel runs where the repository is not, whatever else the user's path holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.quick import quick
from tests.release.conftest import ROOT, Release

FOREIGN = ("byzantine", "cli", "coordinator", "deploy", "lab", "peer", "pipeline", "swarm", "tasks")


def call(*words: str | Path, cwd: Path, path: list[Path] | None = None, timeout: float = 240) -> str:
    """Run a program that must succeed, with nothing but `path` beside what is installed, and return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


_SIMULATED = ["--peers", "4", "--byzantine", "1", "--attack", "SIGN_FLIPPING", "--steps", "3"]


@pytest.fixture(scope="module")
def borrowing(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with the wheel, which borrows from this one what the wheel requires."""
    environment = tmp_path_factory.mktemp("borrowing")
    call(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet"]
    call(*pip, release.wheel, cwd=environment)
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip()
    # A directory named in a .pth file is searched, but its own .pth files, the repository's among them, are not read.
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def test_the_wheel_suffices_without_the_repository(borrowing: Path, tmp_path: Path) -> None:
    where = call(borrowing / "python", "-c", "import btard.peer; print(btard.peer.__file__)", cwd=tmp_path)
    assert where.startswith(str(borrowing.parent))
    simulated = call(
        borrowing / "btard", "simulate", "--peers", "4", "--byzantine", "1", "--validators", "1", "--attack",
        "WRONG_SEED", "--steps", "3", cwd=tmp_path,
    )  # fmt: skip
    assert re.search(r"steps done +3 of 3", simulated)
    prepared = call(borrowing / "btard", "data", "prepare", "--task", "gpt", "--cache-dir", "cache", cwd=tmp_path)
    assert "79019 of 64 tokens" in prepared


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a folder with packages of the user's own that have the names of this project's folders."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in FOREIGN:
        raising = f"raise RuntimeError('the foreign {name} is imported')\n"
        if name in ("lab", "deploy"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(raising)
        else:
            (folder / f"{name}.py").write_text(raising)
    return folder


@pytest.mark.parametrize(
    "words",
    quick(
        1,
        [
            ["btard.cli.main", "simulate", *_SIMULATED],
            ["btard.cli.main", "--help"],
            ["btard.cli.peer", "--help"],
            ["btard.cli.coordinator", "--help"],
        ],
    ),
    ids=" ".join,
)
def test_foreign_packages_on_the_path_change_nothing(words: list[str], foreign: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-m", *words]
    beside, alone = call(*run, cwd=foreign, path=[foreign, ROOT]), call(*run, cwd=tmp_path, path=[ROOT])
    assert untimed(beside) == untimed(alone) != []


def untimed(told: str) -> list[str]:
    """Return the lines of a program's output without the one that says how long it took."""
    return [line for line in told.splitlines() if not line.startswith("time ")]


@pytest.mark.slow
@pytest.mark.swarm
def test_the_wheel_alone_runs_the_demo(release: Release, tmp_path: Path) -> None:
    """In an empty environment, into which pip installs the wheel and all that it requires."""
    environment = tmp_path / "environment"
    call(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    call(*pip, "setuptools", "wheel", cwd=tmp_path, timeout=600)
    call(*pip, release.wheel, cwd=tmp_path, timeout=1200)
    told = call(environment / "bin" / "btard", "demo", "--steps", "60", cwd=tmp_path, timeout=600)
    assert "no honest peer was banned" in told
    (run,) = (tmp_path / "runs").glob("demo-*")
    assert (run / "summary.json").is_file() and list(run.glob("*.png"))
