"""The tables of docs/architecture.md and the tree of the product name the same files."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

from tests.test_layers import MAY_IMPORT

ROOT = Path(__file__).parents[1]
GUIDE = "docs/architecture.md"


@cache
def listed() -> tuple[str, ...]:
    """Return every path that the first column of a table below a heading with a folder names.

    Names stand in backticks and are relative to the folder of the heading; a folder ends with a slash.
    """
    tables = (ROOT / GUIDE).read_text(encoding="utf-8").partition("\n## The house\n")[2]
    folder, found = "", []
    for line in tables.splitlines():
        if line.startswith("### "):
            folder = line.removeprefix("### ").strip()
        elif line.startswith("|"):
            names = line.split("|")[1].split("`")[1::2]
            found += [f"{folder}/{name}" if folder else name for name in names]
    return tuple(found)


def modules() -> set[str]:
    paths = (path for top in MAY_IMPORT for path in (ROOT / top).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix() for path in paths if path.name != "__init__.py"}


def test_every_path_in_the_tables_exists() -> None:
    assert [path for path in listed() if not (ROOT / path).exists()] == []
    assert [path for path in listed() if (ROOT / path).is_dir() != path.endswith("/")] == []


def test_every_module_stands_in_the_tables_once() -> None:
    files = {path for path in listed() if path.endswith(".py")}
    folders = [path for path in listed() if path.endswith("/") and path.strip("/") not in headings()]
    told = Counter(path for path in listed() if path in files)
    told += Counter(path for path in modules() for folder in folders if path.startswith(folder))
    missing = sorted(modules() - told.keys())
    assert missing == [], f"{GUIDE} has no row for {', '.join(missing)}"
    assert [path for path, times in told.items() if times > 1] == [], f"{GUIDE} names them twice"


def headings() -> set[str]:
    """Return the folders that have a table of their own, and those above them."""
    lines = (ROOT / GUIDE).read_text(encoding="utf-8").splitlines()
    paths = [Path(line.removeprefix("### ").strip()) for line in lines if line.startswith("### ")]
    return {parent.as_posix() for path in paths for parent in (path, *path.parents)}


def test_a_folder_in_a_row_tells_what_lives_in_it() -> None:
    for path in (path for path in listed() if path.endswith("/") and path.strip("/") not in headings()):
        inside = ROOT / path / "__init__.py"
        if inside.exists():
            assert ast.get_docstring(ast.parse(inside.read_text(encoding="utf-8"))), f"{inside} has no docstring"


def test_the_house_names_every_folder_at_the_top() -> None:
    tops = {path.split("/")[0] for path in listed()}
    assert MAY_IMPORT.keys() <= tops


def test_the_round_names_its_wings() -> None:
    room = ROOT / "btard" / "round"
    told = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    wings = {path.parent.name for path in room.glob("*/__init__.py")}
    assert wings and [wing for wing in sorted(wings) if f"`{wing}`" not in told] == []
