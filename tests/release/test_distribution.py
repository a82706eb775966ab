"""What is released: the archives hold all that runs and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import yaml

import btard
from btard.home import HOME, document
from tests.release.conftest import ROOT, Release, listed


def installed() -> list[str]:
    """Return what is installed: all files of the folder btard and of those that are linked there, as named below it."""
    links = {path.name for path in (ROOT / "btard").iterdir() if path.is_symlink()}
    assert links >= {"byzantine", "cli", "coordinator", "deploy", "lab", "peer", "pipeline", "swarm", "tasks"}
    files = [path for path in listed() if not (ROOT / path).is_symlink()]
    linked = [f"btard/{path}" for path in files if path.parts[0] in links]
    return sorted([*linked, *(str(path) for path in files if path.parts[0] == "btard")])


def contents(wheel: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of what a wheel installs, and what it says of itself by file name."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if ".dist-info/" not in name)
        infos = {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    return names, infos


def test_the_wheel_holds_every_file_once(release: Release) -> None:
    names, infos = contents(release.wheel)
    assert names == installed()
    assert infos["top_level.txt"].split() == ["btard"]


def test_a_checkout_makes_the_same_wheel(release: Release, checkout: Path, tmp_path: Path) -> None:
    """The released one is made of the source archive, where folders stand in place of links."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(checkout)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(release.wheel) as other:
        assert {name: one.getinfo(name).CRC for name in one.namelist() if not name.endswith("RECORD")} == {
            name: other.getinfo(name).CRC for name in other.namelist() if not name.endswith("RECORD")
        }


def test_the_source_archive_holds_what_it_builds(release: Release) -> None:
    with tarfile.open(release.sdist) as sdist:
        assert not [member.name for member in sdist.getmembers() if member.issym() or member.islnk()]
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    assert {"pyproject.toml", "README.md", "LICENSE", *installed()} <= names
    assert {name.split("/")[0] for name in names if "/" in name} == {"btard", "btard.egg-info"}


def test_the_wheel_says_what_it_is(release: Release) -> None:
    _, infos = contents(release.wheel)
    assert "Apache License" in infos["licenses/LICENSE"]
    programs = re.findall(r"^([\w-]+) = ", infos["entry_points.txt"], re.MULTILINE)
    assert {"btard", "btard-peer", "btard-coordinator"} <= set(programs)
    metadata = Parser().parsestr(infos["METADATA"])
    assert (metadata["Version"], metadata["Requires-Python"]) == (btard.__version__, ">=3.11")
    classifiers = metadata.get_all("Classifier", [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers
    addresses = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert addresses["Homepage"] == HOME
    assert all(address.startswith("https://") for address in addresses.values())


def test_every_document_that_is_named_is_there() -> None:
    """Help and errors name documents by address; nothing else may send a reader to a file that no wheel holds."""
    sources = [(ROOT / name).read_text() for name in installed() if name.endswith(".py")]
    named = {name for source in sources for name in re.findall(r"\bdocument\(['\"](.+?)['\"]\)", source)}
    assert {"kubernetes", "writing-a-behaviour"} <= named
    assert all((ROOT / "docs" / f"{name}.md").is_file() for name in named)
    assert document("protocol") == f"{HOME}/blob/main/docs/protocol.md"


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "btard.__version__"}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (version("btard"), str(citation["version"])) == (btard.__version__, btard.__version__)
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0].rstrip(",") == btard.__version__


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text())
