"""What a user chooses by name with settings of its own: `NAME`, or `NAME:KEY=VALUE,KEY=VALUE`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from btard.errors import UserError

T = TypeVar("T")

_KEY = re.compile("[a-z][a-z0-9_]*")

Value = bool | int | float | str
"""A setting of something that is chosen by name: text as typed, or what was made of it."""


@dataclass(frozen=True)
class Named:
    """A name and the settings that go with it; as text it is what `parse` reads.

    Attributes:
        name: of what is chosen.
        values: the settings that were given, by key.
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, what: str) -> Self:
        """Read what a user types; the values stay text.

        Args:
            text: such as `gpt`, or `checkers:squares=4,width=64`.
            what: the flag or setting that holds the text, for the sentence.

        Raises:
            UserError: the text has another form, or gives a key twice.
        """
        name, colon, rest = text.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",")] if colon else []
        values = {key.strip(): value.strip() for key, _, value in pairs}
        if not name.strip() or not all(_KEY.fullmatch(key) and value for key, value in values.items()):
            raise UserError(f"{what} is {text!r}, but must be NAME or NAME:KEY=VALUE,KEY=VALUE")
        if len(values) < len(pairs):
            raise UserError(f"{what} is {text!r}, which gives a key twice")
        return cls(name.strip(), values)

    @property
    def underscored(self) -> str:
        """The name as code spells it, where a study or a user writes hyphens: `empire-strict` is `empire_strict`."""
        return self.name.replace("-", "_")

    def __str__(self) -> str:
        if not self.values:
            return self.name
        return f"{self.name}:{','.join(written(key, self.values[key]) for key in sorted(self.values))}"


def written(key: str, value: Value) -> str:
    """Return one setting as a user types it: `KEY=VALUE`."""
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"


def constructed(kind: type[T], chosen: Named, *, lacks: str, refused: str) -> T:
    """Return an instance of a dataclass whose fields are the settings of what is chosen.

    Args:
        lacks: begins the sentence about a setting that there is not, up to "has no parameter".
        refused: begins the sentence about a value that cannot be, up to the value.

    Raises:
        UserError: there is no such setting, or a value cannot be; the sentence lists what there is.
    """
    own: Any = kind
    known = sorted(one.name for one in fields(own))
    for key in chosen.values:
        if key not in known:
            has = f"its parameters are: {', '.join(known)}" if known else "it has none"
            raise UserError(f"{lacks} has no parameter {key!r}; {has}")
    try:
        return TypeAdapter(kind).validate_python(dict(chosen.values))
    except ValidationError as error:
        report = error.errors(include_url=False)[0]
        reason = report["msg"].removeprefix("Value error, ")
        where = f"{report['loc'][0]} is {report['input']!r}: " if report["loc"] else ""
        raise UserError(f"{refused}{where}{reason}") from None
