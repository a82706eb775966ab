"""Which code a result is of: a result of other code is no result of the grid."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import torch

import btard
from btard.hashing import tagged_digest

_DECIDES = (
    "aggregation",
    "byzantine/gradients",
    "tasks",
    "lab/metrics",
    "lab/training",
    "tensors.py",
    "vectors",
)
"""What decides the numbers of a run, below the package."""

_GROUPS = ("btard.rules", "btard.tasks", "btard.behaviours")


@cache
def code_version(decides: tuple[str, ...] = _DECIDES) -> str:
    """Return 16 hex digits that change with any file that decides a run's numbers, with torch, and with installed
    packages that bring rules, tasks or behaviours; `decides` names files and folders below the package."""
    root = Path(btard.__file__).parent
    pieces = [torch.__version__.encode()]
    for place in decides:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            pieces += [str(file.relative_to(root)).encode(), file.read_bytes()]
    packages = {
        f"{entry.dist.name} {entry.dist.version}"
        for group in _GROUPS
        for entry in entry_points(group=group)
        if entry.dist is not None
    }
    return tagged_digest("btard lab code", *pieces, *(package.encode() for package in sorted(packages))).hex()[:16]


def run_key(settings_digest: str, decides: tuple[str, ...] = _DECIDES) -> str:
    """Return 12 hex digits for settings and code together; see `code_version`."""
    return tagged_digest("btard lab run", settings_digest.encode(), code_version(decides).encode()).hex()[:12]
