"""Packages of somebody else, put beside the project for one test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def written(folder: Path, package: str, group: str, entries: Mapping[str, str], source: str = "") -> Path:
    """Write a package as pip leaves it: its module, named as the package, and its metadata with these entry points."""
    module = package.replace("-", "_")
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (about / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    return folder


def installed(source: Path, folder: Path) -> dict[str, str]:
    """Build a package with pip, without any index, and return the environment of programs that have it.

    Args:
        source: of the package; it is copied, since building leaves files beside it.
        folder: an empty one.
    """
    copy = shutil.copytree(source, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    target = folder / "installed"
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(copy)], check=True, cwd=folder)
    return {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}"}
