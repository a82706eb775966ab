"""`btard docs`, for maintainers: writes what follows from the Settings classes into the files that repeat it.

These are the tables in docs/operations.md, and the settings in the Helm chart's values.schema.json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from btard.configuration import Row, Settings, describe, installed_settings
from btard.errors import UserError

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"

_USAGE = """usage: btard docs [--check]

Writes the settings in docs/operations.md and in the Helm chart's values.schema.json anew.

  --check  write nothing, and leave with exit code 1 when a file is out of date"""


def main(argv: Sequence[str]) -> int:
    """Rewrite the files, or with `--check` return 1 when one is out of date."""
    words = list(argv)
    if words in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if words not in ([], ["--check"]):
        raise UserError(f"btard docs takes nothing but --check, not {' '.join(words)}")
    code = 0
    for file, renewed in _files().items():
        try:
            old = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{file} cannot be read, since btard docs needs a checkout: {error.strerror}") from error
        new = renewed(old)
        if not words:
            file.write_text(new, encoding="utf-8")
        elif new != old:
            print(f"{file} is out of date: run `btard docs`")
            code = 1
    return code


def _files() -> dict[Path, Callable[[str], str]]:
    """Return the files, and what makes the new text of each from the old one."""
    from btard.deploy.kubernetes.schema import SCHEMA, with_settings

    return {GUIDE: lambda text: with_tables(text, installed_settings()), SCHEMA: with_settings}


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
