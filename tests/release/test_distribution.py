"""What is released: the wheel holds what runs and nothing else, and works where the repository is not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = {"btard", "byzantine", "cli", "coordinator", "deploy", "lab", "peer", "tasks"}


def listed() -> list[Path]:
    """Return the files of the repository, new ones that are not ignored included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build from a copy, so that tests that run beside this one see no build directory."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in listed():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_wheel_holds_all_packages_and_nothing_else(archives: dict[str, Path]) -> None:
    names = [name for name in zipfile.ZipFile(archives["wheel"]).namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == PACKAGES
    sources = {str(path) for path in listed() if path.parts[0] in PACKAGES and path.suffix == ".py"}
    assert sources <= set(names)


def test_the_wheel_carries_its_licence_and_its_programs(archives: dict[str, Path]) -> None:
    wheel = zipfile.ZipFile(archives["wheel"])
    infos = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "Apache License" in wheel.read(infos["licenses/LICENSE"]).decode()
    programs = wheel.read(infos["entry_points.txt"]).decode()
    assert {"btard", "btard-peer", "btard-coordinator"} <= set(re.findall(r"^([\w-]+) = ", programs, re.MULTILINE))


def test_what_the_source_archive_needs_to_build_is_in_it(archives: dict[str, Path]) -> None:
    with tarfile.open(archives["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {str(path) for path in listed() if path.parts[0] in PACKAGES and path.suffix == ".py"} <= names


@pytest.mark.swarm
def test_the_demo_runs_from_the_wheel_alone(archives: dict[str, Path], tmp_path: Path) -> None:
    """What it requires is borrowed from this environment; `make test-wheel` installs all of it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    programs = tmp_path / "venv" / "bin"
    site = Path(
        subprocess.run(
            [str(programs / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    command = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", "--quiet"]
    subprocess.run([*command, str(archives["wheel"])], check=True, capture_output=True)
    # A directory named in a .pth file is searched, but its own .pth files, the repository's among them, are not read.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [str(programs / "python"), "-c", "import btard; print(btard.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert str(tmp_path) in where
    run = subprocess.run(
        [str(programs / "btard"), "demo", "--task", "digits", "--steps", "12", "--attack-start", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert list((tmp_path / "runs").glob("demo-*/*.png"))


def test_one_version_everywhere() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (version("btard"), str(citation["version"])) == (declared, declared)
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0].rstrip(",") == declared


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text())
