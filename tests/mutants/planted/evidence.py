"""Bugs in what evidence proves."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

EVIDENCE: tuple[Mutant, ...] = ()
