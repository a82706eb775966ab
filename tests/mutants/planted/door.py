"""Bugs in how newcomers find a run and are admitted."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DOOR: tuple[Mutant, ...] = ()
