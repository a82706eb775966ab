"""Bugs in what accuses and what convicts."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

THRESHOLDS: tuple[Mutant, ...] = ()
