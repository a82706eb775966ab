"""Bugs in what a manifest, a state or a checkpoint may ask for."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MANIFEST: tuple[Mutant, ...] = ()
