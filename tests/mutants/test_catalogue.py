"""The catalogue fits the code and the guide, and each of its bugs is noticed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import run
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.plugin import module_of, mutated

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_enough_and_each_has_its_own_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_bug_can_be_planted_and_its_test_exists(mutant: Mutant) -> None:
    ast.parse(mutated(mutant))
    assert (ROOT / f"{module_of(mutant).replace('.', '/')}.py").samefile(ROOT / mutant.file)
    file, _, test = mutant.test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test.partition("[")[0] in functions


def test_the_guide_has_the_table_of_the_catalogue() -> None:
    assert run.table() in (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), "see --table of tests.mutants.run"


def test_an_unknown_name_is_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["no-such-bug"]) == 2
    assert "there is no mutant with no-such-bug" in capsys.readouterr().err
