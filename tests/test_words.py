"""Words mean one thing, and names say what they stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.test_layers import MAY_IMPORT

ROOT = Path(__file__).parents[1]
LONGEST_TEST_NAME = 60
FOLDERS = (*MAY_IMPORT, "tests", "benchmarks", "examples", "docker", "docs")


@cache
def files() -> tuple[Path, ...]:
    """Return the project's Python files and guides, relative to its root."""
    found = {path for folder in FOLDERS for kind in ("*.py", "*.md") for path in (ROOT / folder).rglob(kind)}
    return tuple(sorted(path.relative_to(ROOT) for path in {*found, *ROOT.glob("*.md")}))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Return name and docstring of a file's module, classes and functions; "" where there is none."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "name", "module"), ast.get_docstring(node) or ""


def prose(path: Path) -> str:
    """Return what a guide says, or the docstrings and comments of a Python file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n".join([*re.findall("#.*", text), *(said for _, said in docstrings(path))])


def every_test() -> Iterator[tuple[Path, str]]:
    """Return every test of the project, with its file."""
    for path in files():
        if path.name.startswith("test_") and path.suffix == ".py":
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield path, node.name


def test_names_of_tests_fit_into_a_line_of_output() -> None:
    found = list(every_test())
    assert len(found) > 1000
    assert [f"{path}::{name}" for path, name in found if len(name) > LONGEST_TEST_NAME] == []


def test_names_of_tests_begin_with_their_subject() -> None:
    vague = ("test_who_", "test_whoever_", "test_whom_", "test_those_who_")
    assert [f"{path}::{name}" for path, name in every_test() if name.startswith(vague) or "_whom_" in name] == []


def test_files_named_in_prose_exist() -> None:
    named = re.compile(r"(?<![\w/.*<{-])(?:[\w.-]+/)*[\w-]+\.py\b")
    there = ["/" + path.as_posix() for path in files()]
    missing = [
        f"{path} names {name}"
        for path in files()
        for name in named.findall(prose(path))
        if not any(file.endswith("/" + name) for file in there)
    ]
    assert missing == []
