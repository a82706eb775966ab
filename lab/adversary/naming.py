"""Members of enumerations as JSON: by their names, which last longer than their numbers."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BeforeValidator, PlainSerializer


def named(kind: type[Enum]) -> tuple[BeforeValidator, PlainSerializer]:
    """Return what an annotation needs for members of an enumeration to be written, and read, by name."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, kind):
            return value
        if value not in kind.__members__:
            raise ValueError(f"{value!r} is none of {', '.join(kind.__members__)}")
        return kind[value]

    return BeforeValidator(read), PlainSerializer(lambda member: member.name)
