"""The base class of every program's configuration, and how an instance is made from flags, environment and file.

pydantic validates the values. Its companion pydantic-settings is not used for the sources: it reads lists as JSON,
stops neither at unknown variables nor at contradicting ones, and cannot say which flag or variable was wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from btard.configuration.manual import help_text
from btard.configuration.messages import user_error
from btard.configuration.options import settings_of
from btard.configuration.sources import (
    CONFIG_ENVIRONMENT,
    read_environment,
    read_flags,
    read_yaml,
    refuse_unknown_variables,
)

SETTINGS_GROUP = "btard.settings"
"""The entry points that name every program's Settings class: whose variables are known, and what the docs list."""


class Settings(BaseModel):
    """A program's configuration: every field is `name: Annotated[type, Option(meaning, ...)] = default`.

    Types: bool, int, float, str, Path, an Enum, a list of one of them, each also `| None`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, validate_default=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        settings_of(cls)  # a field without words is a mistake to find when the class is written


S = TypeVar("S", bound=Settings)


def load_settings(cls: type[S], argv: Sequence[str], *, program: str, environ: Mapping[str, str] = os.environ) -> S:
    """Return the settings that flags, then environment, then the file of `--config` give, over the defaults.

    `--help` prints the manual and leaves with exit code 0.

    Raises:
        UserError: anything unknown, contradicting or out of range.
    """
    settings = settings_of(cls)
    flags = read_flags(settings, argv, program)
    if flags.wants_help:
        sys.stdout.write(help_text(cls, program))
        raise SystemExit(0)
    refuse_unknown_variables(environ, lambda: _known_variables(cls))

    given = read_environment(settings, environ, lambda name, value: _parsed(cls, name, value))
    config = flags.config or environ.get(CONFIG_ENVIRONMENT)
    if config:
        given = {**read_yaml(settings, Path(config)), **given}
    given |= flags.values
    try:
        return cls.model_validate({name: entry.value for name, entry in given.items()})
    except ValidationError as error:
        raise user_error(error, settings, given) from error


def installed_settings() -> dict[str, type[Settings]]:
    """Return the Settings class of every program that is installed here, by the program's name, in alphabetical order.

    They are entry points of the group SETTINGS_GROUP, so that this library need not know its users; a dot in a name
    stands for the blank of a command, as in `btard.swarm`.
    """
    found: dict[str, type[Settings]] = {}
    for entry in sorted(entry_points(group=SETTINGS_GROUP)):
        try:
            found[entry.name.replace(".", " ")] = entry.load()
        except ModuleNotFoundError as error:
            if not f"{entry.module}.".startswith(f"{error.name}."):
                raise
            continue  # the program itself is absent, as in an image that carries only some of the packages
    return found


def to_yaml(settings: Settings) -> str:
    """Return every effective value as a file that `--config` accepts."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _parsed(cls: type[Settings], name: str, value: object) -> object:
    """One value as its field would hold it, or as it is when the field refuses it."""
    field = cls.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return value


def _known_variables(cls: type[Settings]) -> set[str]:
    """The environment names of this class and of the sibling programs, which may share one environment."""
    return {
        variable
        for known in (cls, *installed_settings().values())
        for setting in settings_of(known).values()
        for variable in setting.environment
    }
