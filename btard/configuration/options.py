"""What a setting is: its type and default are pydantic's, its words are an `Option` in the field's annotation."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from btard.configuration.groups import Group
from btard.vocabulary import SEEDS

ENV_PREFIX = "BTARD_"
"""What every environment variable starts with whose setting does not publish names of its own."""

Probability = Annotated[float, Field(ge=0, le=1)]
"""A probability; give its Option the unit `probability`."""

Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
"""What pseudo-random numbers follow from."""

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP or UDP port, 0 for any free one; give its Option the unit `port`."""

_NOUNS_OF_UNITS = {"probability": "a probability", "port": "a port number"}
_NOUNS_OF_TYPES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
_METAVARS: dict[type, str] = {int: "N", float: "X", Path: "PATH"}


@dataclass(frozen=True)
class Option:
    """The words about a setting.

    Attributes:
        meaning: what it does, a phrase without a full stop.
        unit: what a number counts: `steps`, `seconds`, `MiB`, `probability`, `port`; empty for anything else.
        group: the heading in `--help` and in the documentation.
        env: published environment names that replace `BTARD_<NAME>`; set to different values they contradict.
        form: what text is like that its field's pattern matches, a noun phrase; every such field needs one.
    """

    meaning: str
    unit: str = ""
    group: Group = Group.GENERAL
    env: tuple[str, ...] = ()
    form: str = ""


@dataclass(frozen=True)
class Bounds:
    """The range of a number; an exclusive end is not part of it."""

    low: float | None = None
    high: float | None = None
    low_exclusive: bool = False
    high_exclusive: bool = False

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'above' if self.low_exclusive else 'at least'} {self.low}"
        high = "" if self.high is None else f"{'below' if self.high_exclusive else 'at most'} {self.high}"
        if self.two_sided and not (self.low_exclusive or self.high_exclusive):
            return f"from {self.low} to {self.high}"
        return " and ".join(part for part in (low, high) if part)

    @property
    def two_sided(self) -> bool:
        """Whether both ends are bounded."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Setting:
    """A field of a Settings class, seen from outside: what sources, messages and manual need to know about it."""

    name: str
    option: Option
    value_type: type
    is_list: bool
    bounds: Bounds
    required: bool
    default: Any

    @property
    def flag(self) -> str:
        """The flag, as `--dht-port`."""
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment names; any of them sets the value."""
        return self.option.env or (ENV_PREFIX + self.name.upper(),)

    @property
    def is_switch(self) -> bool:
        """Whether the flag takes no value and has a `--no-` form."""
        return self.value_type is bool and not self.is_list

    @property
    def metavar(self) -> str:
        """What stands for the value in `--help`."""
        if self.is_switch:
            return ""
        one = _METAVARS.get(self.value_type, "NAME" if issubclass(self.value_type, Enum) else "TEXT")
        return f"{one} ..." if self.is_list else one

    def expectation(self, *, with_bounds: bool) -> str:
        """What a right value is, as a noun phrase; a range with two ends is always part of it."""
        if issubclass(self.value_type, Enum):
            return "one of " + ", ".join(str(member.value) for member in self.value_type)
        noun = _NOUNS_OF_UNITS.get(self.option.unit)
        if noun is None:
            noun = _NOUNS_OF_TYPES.get(self.value_type, "text")
            if self.option.unit and self.value_type in (int, float):
                noun += f" of {self.option.unit}"
        if self.bounds.two_sided:
            return f"{noun} {self.bounds}"
        if not with_bounds or self.bounds == Bounds():
            return noun
        return f"{noun} {self.bounds}" if self.bounds.low_exclusive else f"{noun}, {self.bounds}"


def settings_of(cls: type[BaseModel]) -> dict[str, Setting]:
    """Return the settings of a class by field name: those of its own body first, then those it inherits.

    A setting that a class inherits, and declares again for another default, keeps its place.

    Raises:
        TypeError: a field has no Option, no known heading, a pattern without a form in words, or a type that the
            environment cannot express.
    """
    first = {
        name: owner for owner in cls.__mro__ for name in inspect.get_annotations(owner) if name in cls.model_fields
    }
    return {
        name: _setting(name, cls.model_fields[name])
        for owner in cls.__mro__
        for name in inspect.get_annotations(owner)
        if first.get(name) is owner
    }


def _setting(name: str, field: FieldInfo) -> Setting:
    options = [entry for entry in field.metadata if isinstance(entry, Option)]
    if len(options) != 1:
        raise TypeError(f"the setting {name} needs one Option in its annotation")
    if options[0].group not in tuple(Group):
        raise TypeError(f"the setting {name} stands under {options[0].group!r}, which is none of Group")
    value_type, is_list, metadata = _unwrap(name, field.annotation)
    if _has_pattern([*field.metadata, *metadata]) and not options[0].form:
        raise TypeError(f"the setting {name} has a pattern, so its Option needs a form")
    return Setting(
        name=name,
        option=options[0],
        value_type=value_type,
        is_list=is_list,
        bounds=_bounds([*field.metadata, *metadata]),
        required=field.is_required(),
        default=None if field.is_required() else field.get_default(call_default_factory=True, validated_data={}),
    )


def _unwrap(name: str, annotation: Any) -> tuple[type, bool, list[object]]:
    """Look through Annotated, `| None` and list: the innermost type, whether there was a list, and all metadata."""
    metadata: list[object] = []
    is_list = False
    while not isinstance(annotation, type) or typing.get_origin(annotation) is not None:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            metadata.extend(arguments[1:])
        elif origin in (list, tuple):
            is_list = True
        elif origin not in (typing.Union, types.UnionType):
            raise TypeError(f"the setting {name} has a type that a flag cannot express: {annotation}")
        members = [member for member in arguments if member is not types.NoneType]
        if origin in (typing.Union, types.UnionType) and len(members) != 1:
            raise TypeError(f"the setting {name} may be one type or None, not {annotation}")
        annotation = members[0]
    return annotation, is_list, metadata


def _constraints(metadata: Sequence[object]) -> list[object]:
    return [one for entry in metadata for one in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]


def _has_pattern(metadata: Sequence[object]) -> bool:
    return any(getattr(constraint, "pattern", None) is not None for constraint in _constraints(metadata))


def _bounds(metadata: Sequence[object]) -> Bounds:
    bounds = Bounds()
    for constraint in _constraints(metadata):
        for attribute in ("ge", "gt"):
            if hasattr(constraint, attribute):
                low = getattr(constraint, attribute)
                bounds = replace(bounds, low=low, low_exclusive=attribute == "gt")
        for attribute in ("le", "lt"):
            if hasattr(constraint, attribute):
                high = getattr(constraint, attribute)
                bounds = replace(bounds, high=high, high_exclusive=attribute == "lt")
    return bounds
