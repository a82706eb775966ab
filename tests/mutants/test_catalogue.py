"""The catalogue fits the code and the guide, and each of its bugs is noticed."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import run
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.plugin import module_of, mutated

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_enough_and_each_has_its_own_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


@cache
def functions_of(file: str) -> set[str]:
    """Return the names of all functions in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_bug_can_be_planted_and_its_test_exists(mutant: Mutant) -> None:
    ast.parse(mutated(mutant))
    assert (ROOT / f"{module_of(mutant).replace('.', '/')}.py").samefile(ROOT / mutant.file)
    file, _, test = mutant.test.partition("::")
    assert test.partition("[")[0] in functions_of(file)


@pytest.mark.slow
def test_the_cases_that_it_names_exist() -> None:
    named = sorted({mutant.test for mutant in MUTANTS if "[" in mutant.test})
    words = ["-q", "--collect-only", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts="]
    found = subprocess.run([sys.executable, "-m", "pytest", *words, *named], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_the_guide_has_the_table_of_the_catalogue() -> None:
    assert run.table() in (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), "see --table of tests.mutants.run"


def test_an_unknown_name_is_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["no-such-bug"]) == 2
    assert "there is no mutant with no-such-bug" in capsys.readouterr().err
