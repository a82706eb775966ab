"""Bugs in the signed records of the DHT and its node ids."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECORDS: tuple[Mutant, ...] = ()
