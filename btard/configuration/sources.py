"""Reading the three places that settings come from: flags, environment, YAML file."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from btard.configuration.options import ENV_PREFIX, Setting
from btard.errors import UserError

CONFIG_FLAG = "--config"
CONFIG_ENVIRONMENT = ENV_PREFIX + "CONFIG"

# Names that no field can have, since pydantic refuses leading underscores.
_HELP = "_help"
_CONFIG = "_config"


@dataclass(frozen=True)
class Given:
    """A value that a source gave, and the name under which the user knows it."""

    label: str
    value: Any


@dataclass(frozen=True)
class Flags:
    """What the command line gave."""

    values: dict[str, Given]
    config: str | None
    wants_help: bool


def read_flags(settings: Mapping[str, Setting], argv: Sequence[str], program: str) -> Flags:
    """Parse `argv` by the settings' flags; the values stay strings.

    Raises:
        UserError: a flag is unknown or has no value.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS, exit_on_error=False
    )
    parser.add_argument("-h", "--help", dest=_HELP, action="store_true")
    parser.add_argument(CONFIG_FLAG, dest=_CONFIG)
    for setting in settings.values():
        if setting.is_switch:
            parser.add_argument(setting.flag, dest=setting.name, action=argparse.BooleanOptionalAction)
        elif setting.is_list:
            parser.add_argument(setting.flag, dest=setting.name, action="extend", nargs="+")
        else:
            parser.add_argument(setting.flag, dest=setting.name)
    try:
        parsed, unknown = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        # A switch has two names, here joined by a slash, and can only have a value too much; the others lack theirs.
        flag, is_switch, _ = (error.argument_name or "").partition("/")
        raise UserError(f"{flag} {'takes no value' if is_switch else 'needs a value'}") from error
    values = vars(parsed)
    if unknown and not values.get(_HELP):
        flags = [setting.flag for setting in settings.values()]
        word = unknown[0].split("=", 1)[0] if unknown[0].startswith("-") else repr(unknown[0])
        hint = _meant(word, [*flags, CONFIG_FLAG, "--help"]) or f"; {program} --help lists those that exist"
        raise UserError(f"there is no flag {word}{hint}")
    return Flags(
        values={
            name: Given(setting.flag, _split(values[name]) if setting.is_list else values[name])
            for name, setting in settings.items()
            if name in values
        },
        config=values.get(_CONFIG),
        wants_help=_HELP in values,
    )


def read_environment(
    settings: Mapping[str, Setting], environ: Mapping[str, str], parse: Callable[[str, object], object]
) -> dict[str, Given]:
    """Return what the environment gives; an empty variable counts as absent, as container tools write those.

    `parse(name, value)` gives the value of the right type, so that two published names of one setting can be compared.

    Raises:
        UserError: two names of one setting are set and contradict each other.
    """
    found: dict[str, Given] = {}
    for name, setting in settings.items():
        for variable in setting.environment:
            text = environ.get(variable, "")
            if not text:
                continue
            given = Given(variable, _split([text]) if setting.is_list else text)
            earlier = found.setdefault(name, given)
            if earlier is not given and parse(name, earlier.value) != parse(name, given.value):
                raise UserError(
                    f"{earlier.label} is {environ[earlier.label]} but {variable} is {text}, "
                    f"and both name the same setting: leave one away or make them equal"
                )
    return found


def refuse_unknown_variables(environ: Mapping[str, str], known: Callable[[], Iterable[str]]) -> None:
    """Raise a UserError when a BTARD_* variable belongs to no program; `known` is asked only for such variables."""
    set_variables = sorted(variable for variable in environ if variable.startswith(ENV_PREFIX))
    if not set_variables:
        return
    names = {CONFIG_ENVIRONMENT, *known()}
    for variable in set_variables:
        if variable not in names:
            hint = _meant(variable, names)
            raise UserError(f"{variable} is set, but no such environment variable exists{hint}")


def read_yaml(settings: Mapping[str, Setting], path: Path) -> dict[str, Given]:
    """Return what the file gives.

    Raises:
        UserError: the file cannot be read, is not a YAML mapping, or has a key that is no setting.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the settings file {path} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(
            f"the settings file {path} must hold lines such as `name: value`, not a {type(content).__name__}"
        )
    found: dict[str, Given] = {}
    for key, value in content.items():
        if key not in settings:
            raise UserError(f"{key} in {path} is not a setting{_meant(str(key), settings)}")
        if isinstance(value, bool) and not settings[key].is_switch:  # pydantic would count it
            raise UserError(f"{key} in {path} is {str(value).lower()}, as YAML reads yes and no, but is no switch")
        found[key] = Given(f"{key} in {path}", _split([value]) if settings[key].is_list else value)
    return found


def _split(entries: Sequence[Any]) -> list[Any]:
    """Flatten a list setting: each entry may be a list, or text with commas."""
    parts: list[Any] = []
    for entry in entries:
        if isinstance(entry, list):
            parts.extend(entry)
        elif isinstance(entry, str):
            parts.extend(part.strip() for part in entry.split(",") if part.strip())
        elif entry is not None:
            parts.append(entry)
    return parts


def _meant(word: str, known: Iterable[str]) -> str:
    names = list(known)
    # A variable with our prefix too many, or too few, is meant rather than one that is spelt alike.
    close = [name for name in names if name.removeprefix(ENV_PREFIX) == word.removeprefix(ENV_PREFIX)]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    return f"; perhaps {close[0]} was meant" if close else ""
