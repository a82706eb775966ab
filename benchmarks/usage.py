"""What a process of a benchmark uses, and how long others wait for it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

PATIENCE_SECONDS = 180.0
"""Seconds after which a round or a start counts as failed."""


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_and_processes() -> tuple[float, int]:
    """Return the PSS in MB of this process and all that it has started, and how many they are."""
    own = psutil.Process()
    family = [own, *own.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / 1e6, len(family)
