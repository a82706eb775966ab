"""What a settings class tells about itself: rows for tables, and the text of `--help`."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from btard.configuration.groups import Group
from btard.configuration.options import Setting, settings_of
from btard.configuration.sources import CONFIG_ENVIRONMENT, CONFIG_FLAG

_INDENT = 6
_WIDTH = 110


@dataclass(frozen=True)
class Row:
    """One setting in a table."""

    group: Group
    flag: str
    metavar: str
    environment: tuple[str, ...]
    default: str
    unit: str
    meaning: str


def describe(cls: type[BaseModel]) -> list[Row]:
    """Return a row for each setting, in the order of groups; within one, the class's own before inherited ones."""
    groups = list(Group)
    rows = [_row(setting) for setting in settings_of(cls).values()]
    return sorted(rows, key=lambda row: groups.index(row.group))


def help_text(cls: type[BaseModel], program: str) -> str:
    """Return what `--help` prints."""
    summary = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    lines = [
        f"usage: {program} [flags]",
        "",
        *textwrap.wrap(summary, _WIDTH),
        "",
        "A flag is stronger than the environment, and the environment than the file of --config, which is YAML with",
        "the same names (--dht-port is dht_port).",
    ]
    group: Group | None = None
    for row in describe(cls):
        default = f"{row.default} ({row.unit})" if row.unit else row.default
        if row.group != group:
            group = row.group
            lines += ["", group]
        lines += _paragraph(
            f"{row.flag} {row.metavar}".rstrip(),
            row.meaning,
            f"default: {default}; environment: {' or '.join(row.environment)}",
        )
    lines += ["", "Other"]
    lines += _paragraph(
        f"{CONFIG_FLAG} PATH", "YAML file with settings", f"default: none; environment: {CONFIG_ENVIRONMENT}"
    )
    lines += _paragraph("--help", "show this text and leave")
    return "\n".join(lines) + "\n"


def _paragraph(head: str, *paragraphs: str) -> list[str]:
    pad = " " * _INDENT
    lines = [f"  {head}"]
    for paragraph in paragraphs:
        lines += textwrap.wrap(
            paragraph,
            _WIDTH,
            initial_indent=pad,
            subsequent_indent=pad,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _row(setting: Setting) -> Row:
    meaning = setting.option.meaning
    if issubclass(setting.value_type, Enum):
        meaning += f": {setting.expectation(with_bounds=False)}"
    return Row(
        group=setting.option.group,
        flag=setting.flag.replace("--", "--[no-]", 1) if setting.is_switch else setting.flag,
        metavar=setting.metavar,
        environment=setting.environment,
        default="required" if setting.required else _shown(setting.default),
        unit=setting.option.unit,
        meaning=meaning,
    )


def _shown(default: Any) -> str:
    """The default as a user would type it."""
    if default is None or default == "" or default == [] or default == ():
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, list | tuple):
        return " ".join(_shown(entry) for entry in default)
    return str(default)
