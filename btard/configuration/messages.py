"""Turning pydantic's report on a bad value into one sentence for the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from btard.configuration.options import Setting
from btard.configuration.sources import Given
from btard.errors import UserError

_BOUND_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}


def user_error(error: ValidationError, settings: Mapping[str, Setting], given: Mapping[str, Given]) -> UserError:
    """Return the first complaint: which setting, under the name that the user gave it, what it is, what it must be.

    A field's own validator raises ValueError("must be ..."), a check over several fields ValueError("<a sentence>").
    """
    report = error.errors(include_url=False)[0]
    if not report["loc"]:
        return UserError(_reason(report["msg"]))
    setting = settings[str(report["loc"][0])]
    if report["type"] == "missing":
        return UserError(
            f"{setting.flag} is missing: give the flag, the environment variable {' or '.join(setting.environment)}, "
            f"or {setting.name} in the file of --config"
        )
    label = given[setting.name].label if setting.name in given else setting.name
    if report["type"] == "value_error":
        rule = _reason(report["msg"])
    elif len(report["loc"]) == 1 and setting.is_list:
        rule = "must be a list"
    elif report["type"] == "string_pattern_mismatch":
        rule = f"must be {setting.option.form}"
    elif (length := _wrong_length(report["type"], report.get("ctx", {}))) is not None:
        rule = f"must be text of {length}"
    else:
        rule = f"must be {setting.expectation(with_bounds=report['type'] in _BOUND_ERRORS)}"
        if report["type"] == "finite_number":
            rule = rule.replace("a number", "a finite number")
    return UserError(f"{label} is {_shown(report['input'])}, but {rule}")


def first_reason(error: ValidationError) -> str:
    """Return the first complaint about something that has no flags: where it is, and what is wrong there."""
    report = error.errors(include_url=False)[0]
    where = ".".join(map(str, report["loc"]))
    return f"{where + ': ' if where else ''}{_reason(report['msg'])}"


def _wrong_length(complaint: str, context: Mapping[str, Any]) -> str | None:
    """Return how long a text must be; None if that is not the complaint."""
    match complaint:
        case "string_too_short":
            return f"at least {_characters(context['min_length'])}"
        case "string_too_long":
            return f"at most {_characters(context['max_length'])}"
    return None


def _characters(count: int) -> str:
    return f"{count} character{'s' * (count != 1)}"


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _shown(value: object) -> str:
    """Numbers as typed, other text in quotes so that blanks are seen."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return repr(value)
        return value.strip()
    return repr(value)
