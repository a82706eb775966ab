"""The aggregation rule as a setting: its text is read and its name looked up here, without importing the rule."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from btard.configuration.options import Option
from btard.configuration.settings import Settings
from btard.errors import UserError
from btard.plugins import find_plugin

RULES_GROUP = "btard.rules"
"""Each entry point of this group is a rule's name and a frozen dataclass that inherits `btard.aggregation.Rule`."""

MOST_RULE = 200
"""Characters of a rule with its parameters."""

_PARAMETER = re.compile("([a-z][a-z0-9_]*)=([^,=\\s]+)")


def split_rule(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the parameters of a rule that is written `name` or `name:key=value,key=value`.

    Raises:
        UserError: another form, or a parameter twice.
    """
    name, colon, rest = text.partition(":")
    given: dict[str, str] = {}
    for piece in rest.split(",") if colon else ():
        match = _PARAMETER.fullmatch(piece)
        if match is None or match[1] in given or len(text) > MOST_RULE:
            raise UserError(
                f"a rule is written name or name:key=value,key=value, each key once, in at most {MOST_RULE} "
                f"characters, not {text[:MOST_RULE]!r}"
            )
        given[match[1]] = match[2]
    return name, given


class RuleSettings(Settings):
    """How gradients are aggregated, and who looks at it."""

    rule: Annotated[
        str,
        Option(
            "how gradients are aggregated: an installed rule, with parameters as in trimmed_mean:share=0.4",
            group="Aggregation",
        ),
    ] = "centered_clip"
    auditors: Annotated[
        int | None,
        Field(ge=1, le=256),
        Option(
            "peers that aggregate each part once more, for rules whose result no sum proves; none for so many that one "
            "of them is honest; fewer let wrong aggregates pass",
            unit="peers",
            group="Verification",
        ),
    ] = None

    @field_validator("rule")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        try:
            find_plugin(RULES_GROUP, split_rule(value)[0], "aggregation rule")
        except UserError as error:
            raise ValueError(str(error)) from None
        return value
