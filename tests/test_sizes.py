"""Rooms stay small and say what they are for: lines of files and functions, and docstrings of all that is public."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 70
MOST_LINES_OF_AN_OVERRIDE = 6
"""Of one without a docstring: its base says what it is for, its class how it differs."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    """Return the text of every file of Python by its name; links lead to files that have names already."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.py"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name: (ROOT / name).read_text() for name in names if name and (ROOT / name).is_file()}


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax of every file of Python by its name."""
    return {name: ast.parse(text) for name, text in sources().items()}


PRODUCT = [path.name for path in (ROOT / "btard").iterdir() if path.is_symlink()] + ["btard"]


def lines(node: ast.AST) -> int:
    """Return how many lines a definition takes, its decorators left out."""
    assert isinstance(node, Function | ast.ClassDef) and node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_file_is_too_long() -> None:
    assert len(sources()) > 500
    assert not {name for name, text in sources().items() if text.count("\n") > MOST_LINES_OF_A_FILE}


def test_no_function_is_too_long() -> None:
    long = {
        f"{name}: {node.name}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, Function) and lines(node) > MOST_LINES_OF_A_FUNCTION
    }
    assert long == set()


@dataclass(frozen=True)
class Public:
    """Something public that is defined in the product: at the top of a module, or in a public class."""

    file: str
    node: Function | ast.ClassDef
    owner: ast.ClassDef | None

    @property
    def documented(self) -> bool:
        """Whether it has a docstring of its own."""
        return ast.get_docstring(self.node) is not None

    def __str__(self) -> str:
        owner = "" if self.owner is None else f"{self.owner.name}."
        return f"{self.file}:{self.node.lineno}: {owner}{self.node.name}"


def public() -> Iterator[Public]:
    """Yield all that is public in the product."""
    for name, tree in trees().items():
        if name.split("/")[0] in PRODUCT:
            yield from within(name, tree, None)


def within(file: str, node: ast.Module | ast.ClassDef, owner: ast.ClassDef | None) -> Iterator[Public]:
    """Yield what is public in a module or a class, and in its public classes."""
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            yield Public(file, child, owner)
            if isinstance(child, ast.ClassDef):
                yield from within(file, child, child)


def test_all_that_is_public_says_what_it_does() -> None:
    """A short override may leave it to its base: to a class of the product that documents it, or to a foreign one."""
    found = list(public())
    assert len(found) > 1500
    methods = {each.node.name for each in found if each.owner is not None and each.documented}
    classes = {each.node.name for each in found if isinstance(each.node, ast.ClassDef)}
    silent = [str(each) for each in found if not each.documented and not is_override(each, methods, classes)]
    assert not silent, "\n".join(["these have no docstring:", *silent])


def is_override(each: Public, documented: set[str], classes: set[str]) -> bool:
    """Whether a method is short, and a protocol or a base of its class says what it is for."""
    if each.owner is None or isinstance(each.node, ast.ClassDef) or lines(each.node) > MOST_LINES_OF_AN_OVERRIDE:
        return False
    bases = {ast.unparse(base).split("[")[0].split(".")[-1] for base in each.owner.bases}
    return each.node.name in documented or not bases <= classes
