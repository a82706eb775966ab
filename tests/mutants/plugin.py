"""Plants one bug when pytest is started with `-p tests.mutants.plugin` and TEST_MUTANT=<number>; the files stay."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]


def mutated(mutant: Mutant) -> str:
    """Return the source with the bug in it.

    Raises:
        ValueError: the text to replace does not occur exactly once.
    """
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} has {source.count(mutant.old)} times: {mutant.old}")
    return source.replace(mutant.old, mutant.new)


def module_of(mutant: Mutant) -> str:
    """Return the name that the file is imported by: a folder at the top is linked below `btard`."""
    return "btard." + mutant.file.removesuffix(".py").removeprefix("btard/").replace("/", ".")


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(ROOT / mutant.file))
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed source, without any cache."""
        return compile(mutated(self._mutant), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = module_of(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the one module."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, self._mutant))


# Taken away: programs that the test starts have no bug, and refuse a variable that they do not know.
PLANTED = os.environ.pop("TEST_MUTANT", None)
"""The number of the bug in this process; a test of another process hands it on, as `tests.cli.test_help` does."""

if PLANTED is not None:
    sys.meta_path.insert(0, _Finder(MUTANTS[int(PLANTED)]))
