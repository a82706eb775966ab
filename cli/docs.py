"""`btard docs`, for maintainers: writes the tables of settings in docs/operations.md from the Settings classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from btard.configuration import Row, Settings, describe, installed_settings
from btard.errors import UserError

GUIDE = Path(__file__).parents[1] / "docs" / "operations.md"

_USAGE = """usage: btard docs [--check]

Writes the tables of settings in docs/operations.md anew.

  --check  write nothing, and leave with exit code 1 when the tables are out of date"""


def main(argv: Sequence[str]) -> int:
    """Rewrite the tables, or with `--check` return 1 when they are out of date."""
    words = list(argv)
    if words in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if words not in ([], ["--check"]):
        raise UserError(f"btard docs takes nothing but --check, not {' '.join(words)}")
    try:
        old = GUIDE.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{GUIDE} cannot be read, since btard docs needs a checkout: {error.strerror}") from error
    new = with_tables(old, installed_settings())
    if not words:
        GUIDE.write_text(new, encoding="utf-8")
        return 0
    if new != old:
        print(f"{GUIDE} is out of date: run `btard docs`")
        return 1
    return 0


def with_tables(text: str, programs: dict[str, type[Settings]]) -> str:
    """Return `text` with each program's tables between its markers.

    Raises:
        UserError: the markers of a program are missing.
    """
    for program, cls in programs.items():
        begin, end = f"<!-- begin settings of {program} -->", f"<!-- end settings of {program} -->"
        head, found_begin, rest = text.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not (found_begin and found_end):
            raise UserError(f"the guide needs the two lines {begin} and {end} for its tables")
        text = f"{head}{begin}\n\n{tables(cls)}\n{end}{tail}"
    return text


def tables(cls: type[Settings]) -> str:
    """Return a Markdown table for each group of settings."""
    lines: list[str] = []
    for group, rows in groupby(describe(cls), key=lambda row: row.group):
        lines += [f"**{group}**", "", "| flag | environment | default | unit | meaning |", "|---|---|---|---|---|"]
        lines += [_line(row) for row in rows]
        lines.append("")
    return "\n".join(lines)


def _line(row: Row) -> str:
    cells = [
        f"`{f'{row.flag} {row.metavar}'.rstrip()}`",
        ", ".join(f"`{name}`" for name in row.environment),
        row.default,
        row.unit,
        row.meaning,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
