"""Words mean one thing, and names say what they stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_TEST_NAME = 60


def every_test() -> Iterator[tuple[Path, str]]:
    """Return every test of the project, with its file."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield path.relative_to(ROOT), node.name


def test_names_of_tests_fit_into_a_line_of_output() -> None:
    found = list(every_test())
    assert len(found) > 1000
    assert [f"{path}::{name}" for path, name in found if len(name) > LONGEST_TEST_NAME] == []


def test_names_of_tests_begin_with_their_subject() -> None:
    vague = ("test_who_", "test_whoever_", "test_whom_", "test_those_who_")
    assert [f"{path}::{name}" for path, name in every_test() if name.startswith(vague) or "_whom_" in name] == []
