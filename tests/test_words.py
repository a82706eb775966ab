"""Words mean one thing, and names say what they stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
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
    """A name in capitals, as in `NAME.py`, stands for one that the reader chooses."""
    named = re.compile(r"(?<![\w/.*<{-])(?:[\w.-]+/)*[\w-]+\.py\b")
    there = {"/".join(path.parts[begin:]) for path in files() for begin in range(len(path.parts))}
    missing = [
        f"{path} names {name}"
        for path in files()
        for name in named.findall(prose(path))
        if not Path(name).stem.isupper() and name not in there
    ]
    assert missing == []


@cache
def classes() -> dict[str, dict[Path, set[str]]]:
    """Return the public classes of the product by name: the file of each, and what it declares."""
    found: dict[str, dict[Path, set[str]]] = {}
    for path in files():
        if path.suffix == ".py" and path.parts[0] in {*MAY_IMPORT, "benchmarks"}:
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, {})[path] = set(_declared(node))
    return found


def _declared(node: ast.ClassDef) -> Iterator[str]:
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner.name
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            yield inner.target.id
        elif isinstance(inner, ast.Assign):
            yield from (target.id for target in inner.targets if isinstance(target, ast.Name))


def test_a_public_class_name_means_one_thing() -> None:
    shared = {name: sorted(map(str, places)) for name, places in classes().items() if len(places) > 1}
    assert shared == {}, "a class whose name begins with `_` belongs to its file alone, all others to the product"


def test_the_glossary_names_what_is_in_the_code() -> None:
    guide = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in guide.partition("\n## Glossary\n")[2].partition("\n## ")[0].splitlines()]
    named = {row[1].strip(): row[3].split("`")[1::2] for row in rows if len(row) == 5 and "`" in row[3]}
    assert len(named) > 20 and all(named.values())
    for word, names in named.items():
        for name in names:
            owner, _, member = name.partition(".")
            declared = classes().get(owner, {})
            assert declared, f"the glossary explains {word} by {owner}, which is no class"
            assert not member or any(member in names for names in declared.values()), f"{word}: there is no {name}"


VAGUE = (
    re.compile(r"\b(Who|Whom|[Ww]hoever|[Ww]homever)\b(?![^.]*\?)"),
    re.compile(r"\b(to|for|by|than|as|from|with|of|against|before|[Rr]eturns?) who\b|\b[Rr]eturns? whom\b|; whom? "),
)
"""'Who is late' reads as a question, and tells no peer from a person; 'a peer that is late' does neither."""


def test_prose_names_its_subject() -> None:
    texts = [(path, name, text) for path in files() if path.suffix == ".py" for name, text in docstrings(path)]
    texts += [(path, "guide", line) for path in files() if path.suffix == ".md" for line in prose(path).splitlines()]
    texts += [(Path(mutant.file), "planted bug", mutant.name) for mutant in MUTANTS]
    assert [
        f"{path} {name}: {text[:80]}"
        for path, name, text in texts
        if any(vague.search(text) for vague in VAGUE) or (name == "planted bug" and text.startswith("who "))
    ] == []


def test_the_rule_finds_what_it_is_for() -> None:
    for text in (
        "Answer peers. Who is late pays.",
        "Shows it to whoever asks.",
        "Return who is out.",
        "goes; who stays",
    ):
        assert any(vague.search(text) for vague in VAGUE), text
    for text in (
        "strangers, some of whom lie",
        "Who says so?",
        "attackers, who trust each other",
        "decide who may read",
    ):
        assert not any(vague.search(text) for vague in VAGUE), text


def test_links_in_guides_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:)([\w./-]*)(?:#([\w-]+))?\)")
    for path in (path for path in files() if path.suffix == ".md" and "examples" not in path.parts):
        for file, heading in link.findall((ROOT / path).read_text(encoding="utf-8")):
            target = (ROOT / path).parent / file if file else ROOT / path
            assert target.exists(), f"{path} leads to {file}"
            assert not heading or heading in anchors(target), f"{path} leads to {file}#{heading}"


def anchors(guide: Path) -> set[str]:
    """Return the names under which a guide's headings can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
