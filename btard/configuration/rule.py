"""The aggregation rule as a setting: its name is looked up here, without importing the rule."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from btard.configuration.groups import Group
from btard.configuration.named import Named
from btard.configuration.options import Option
from btard.configuration.settings import Settings
from btard.errors import UserError
from btard.plugins import Plugins
from btard.vocabulary import MAX_FIRST_ROSTER

RULES = Plugins("btard.rules", "the aggregation rule", "aggregation rule is installed, not even centered_clip")
"""Each entry point of this group is a rule's name and its class, a subclass of `btard.aggregation.Rule`."""

MOST_RULE = 200
"""Characters of a rule with its parameters."""


def chosen_rule(text: str) -> Named:
    """Read what a user types for a rule, and check its name; imports no rule.

    Raises:
        UserError: it has another form, or no installed package has a rule of this name.
    """
    chosen = Named.parse(text[: MOST_RULE + 1], "the aggregation rule")
    fault = _fault(text)
    if fault is not None:
        raise UserError(f"the aggregation rule is {text[:MOST_RULE]!r}, but {fault}")
    return chosen


def _fault(text: str) -> str | None:
    """Return what the text of a rule, of the right form, must be; None if it is that."""
    if len(text) > MOST_RULE:
        return f"must have at most {MOST_RULE} characters"
    if RULES.find(text.partition(":")[0].strip()) is None:
        return f"must be one of those installed: {', '.join(RULES.names())}"
    return None


class RuleSettings(Settings):
    """How gradients are aggregated, and how many peers do so once more where no sum proves the result."""

    rule: Annotated[
        str,
        Option(
            "how gradients are aggregated: an installed rule, with its parameters as in trimmed_mean:share=0.4",
            group=Group.AGGREGATION,
        ),
    ] = "centered_clip"
    auditors: Annotated[
        int | None,
        Field(ge=1, le=MAX_FIRST_ROSTER),
        Option(
            "peers that aggregate each part once more, under rules whose result no sum proves; none for so many that "
            "one of them is honest; fewer let some wrong aggregates pass",
            unit="peers",
            group=Group.VERIFICATION,
        ),
    ] = None

    @field_validator("rule")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        try:
            Named.parse(value, "the rule")
            fault = _fault(value)
        except UserError as error:
            raise ValueError(str(error).partition(", but ")[2] or str(error)) from None
        if fault is not None:
            raise ValueError(fault)
        return value
