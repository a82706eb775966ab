"""The images as far as they can be checked without an engine; `make lint` reads Dockerfiles and the compose file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from btard.configuration import Settings, describe
from btard.coordinator.settings import CoordinatorSettings
from btard.peer.settings import PeerSettings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROGRAMS = {"coordinator": CoordinatorSettings, "peer": PeerSettings}
TASKS = {"coordinator": ["gpt", "albert"], "peer": ["digits"]}
"""A peer has all that the coordinator has, so that its own packages are left to try."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def dockerfile(program: str) -> str:
    return (DOCKER / f"{program}.Dockerfile").read_text()


def requirements(file: Path) -> set[str]:
    """The distributions that a list names, with those of the lists that it includes."""
    found: set[str] = set()
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            found |= requirements(file.parent / line[3:])
        elif line and not line.startswith("#"):
            found.add(canonicalize_name(line))
    return found


def closure(names: set[str]) -> set[str]:
    """These distributions and what they require, as pip would install it."""
    installed = {canonicalize_name(each.name): each for each in distributions()}
    found, waiting = set[str](), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        needs = [Requirement(text) for text in (installed[name].requires or [])] if name in installed else []
        wanted = {canonicalize_name(r.name) for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})}
        waiting |= wanted - found
    return found


def install(names: set[str], folder: Path) -> None:
    """Link what these distributions have installed here, and nothing else, into a folder."""
    for each in distributions():
        if canonicalize_name(each.name) in names:
            for top in {file.parts[0] for file in each.files or []} - {"..", "__pycache__"}:
                link = folder / top
                if not link.is_symlink():
                    link.symlink_to(str(each.locate_file(top)))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_packages_of_an_image_suffice(program: str, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    install(closure(requirements(DOCKER / f"{program}.txt")) | {"setuptools"}, packages)
    # Tasks and behaviours are found by what is said of our own package.
    about = packages / "btard-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: btard\nVersion: 0\n")
    entries = PROJECT["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries[group].items()) for group in entries]
    (about / "entry_points.txt").write_text("\n".join(lines))
    there = {path.name for path in packages.iterdir()}
    assert there.isdisjoint({"wandb", "matplotlib", "pytest"})
    assert there.isdisjoint({"datasets", "sklearn", "pandas"}) == (program == "coordinator")
    # -S leaves this environment's own packages out.
    path = f"{ROOT}:{packages}"
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for words in (["docker/warm.py", program, *TASKS[program]], ["-m", f"btard.cli.{program}", "--help"]):
        result = subprocess.run(
            [sys.executable, "-S", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
        assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_package_of_an_image_is_ours_and_pinned(program: str) -> None:
    pinned = {
        canonicalize_name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    wanted = requirements(DOCKER / f"{program}.txt")
    assert wanted <= declared
    assert wanted | {"setuptools", "wheel"} <= pinned


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_an_image_copies_is_there_and_not_ignored(program: str) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(program), re.MULTILINE)
    assert copies
    for path in " ".join(copies).split():
        assert list(ROOT.glob(path)) if path != "." else True
        assert path == "." or path in kept
    assert all(list(ROOT.glob(path)) for path in kept)
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(kept)
    assert {"LICENSE", "README.md", "pyproject.toml", "constraints.txt"} <= set(kept)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_runs_as_a_user_with_a_check_and_a_volume(program: str) -> None:
    text = dockerfile(program)
    assert f'\nENTRYPOINT ["btard-{program}"]\n' in text
    assert "\nUSER 1000:1000\n" in text
    assert "\nVOLUME /data\n" in text
    assert 'CMD ["python", "-m", "btard.cli.health"]\n' in text


def instructions(program: str) -> list[str]:
    """A Dockerfile without comments, an instruction a line, with the program's name left out."""
    text = dockerfile(program).replace(f"btard-{program}", "NAME").replace(f"install.sh project {program}", "PROJECT")
    return [line for line in re.sub(r"\\\n *", "", text).splitlines() if line and not line.startswith("#")]


def test_the_coordinators_dockerfile_is_the_peers_with_less() -> None:
    """So that building the peer's, as test_build.py does, shows that both build."""
    coordinator, peer = instructions("coordinator"), instructions("peer")
    own, theirs = (
        set(re.findall(r"(\w+)=", next(line for line in lines if line.startswith("ENV"))))
        for lines in (coordinator, peer)
    )
    assert own - theirs == {"BTARD_EXPERIMENT"}
    assert theirs - own == {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
    rest = [line for line in coordinator if not line.startswith("ENV") and line != "EXPOSE 31337"]
    assert [line for line in peer if line in rest] == rest


@pytest.mark.parametrize(("program", "settings"), PROGRAMS.items())
def test_the_environment_of_images_and_services_is_known(program: str, settings: type[Settings]) -> None:
    known = {name for row in describe(settings) for name in row.environment}
    assert set(re.findall(r"\b(BTARD_\w+)=", dockerfile(program))) <= known
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in [program] + ["attacker"] * (program == "peer"):
        assert set(services[name]["environment"]) <= known


def fake_engine(folder: Path, name: str, works: bool) -> None:
    """An engine that writes down how it is called."""
    path = folder / name
    path.write_text(
        f"#!/bin/sh\n[ $1 = info ] || [ $1 = images ] && exit {0 if works else 1}\n"
        f'[ "$1" = image ] && echo 1234567890 && exit\necho "{name} $*" >> "{folder}/calls"\n'
    )
    path.chmod(0o755)


def build(folder: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DOCKER / "build.sh", *names],
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_first_engine_that_works_builds(tmp_path: Path) -> None:
    fake_engine(tmp_path, "docker", works=False)
    fake_engine(tmp_path, "podman", works=True)
    result = build(tmp_path, BASE="some/base:1", TAG="2", TORCH_INDEX="https://example.org/whl")
    assert result.returncode == 0, result.stderr
    assert "btard-peer:2: 1235 MB" in result.stdout
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert first.startswith("podman build --file docker/coordinator.Dockerfile --tag btard-coordinator:2 ")
    for call in (first, second):
        assert "--format docker" in call
        assert "--build-arg BASE=some/base:1" in call
    assert "--build-arg TORCH_INDEX=https://example.org/whl" in second


def test_an_engine_that_does_not_work_is_one_sentence(tmp_path: Path) -> None:
    for name in ("docker", "podman", "buildah"):
        fake_engine(tmp_path, name, works=False)
    result = build(tmp_path)
    assert result.returncode == 1
    assert result.stderr == "none of docker, podman and buildah works here; install one, or start its daemon\n"


def test_pip_configuration_is_lent_as_secrets(tmp_path: Path) -> None:
    fake_engine(tmp_path, "docker", works=True)
    configuration, certificates = tmp_path / "pip.conf", tmp_path / "ca.pem"
    certificates.touch()
    configuration.write_text(f"[global]\ncert = {certificates}\nindex-url = https://user:password@example.org/simple\n")
    result = build(tmp_path, "peer", PIP_CONFIG_FILE=str(configuration))
    assert result.returncode == 0, result.stderr
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert f"--secret id=pip,src={configuration}" in call
    assert f"--secret id=ca,src={certificates}" in call
    assert "password" not in call
    # An index of one's own has its own torch.
    assert "--build-arg TORCH_INDEX= " in call


def test_only_known_images_are_built(tmp_path: Path) -> None:
    fake_engine(tmp_path, "docker", works=True)
    assert build(tmp_path, "dashboard").returncode == 2
