"""Bugs that make messages of strangers dear."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

COST: tuple[Mutant, ...] = ()
