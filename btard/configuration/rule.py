"""The aggregation rule as a setting: its name is looked up here, without importing the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from pydantic import Field, field_validator

from btard.configuration.groups import Group
from btard.configuration.named import Named
from btard.configuration.options import Option
from btard.configuration.rule_text import Chain, alternatives
from btard.configuration.settings import Settings
from btard.errors import UserError
from btard.plugins import Plugins
from btard.vocabulary import MAX_FIRST_ROSTER

RULES = Plugins("btard.rules", "the aggregation rule", "aggregation rule is installed, not even centered_clip")
"""Each entry point of this group is a rule's name and its class, a subclass of `btard.aggregation.Rule`."""

PRE_AGGREGATORS = Plugins("btard.pre_aggregators", "the pre-aggregator", "pre-aggregator is installed, not even nnm")
"""Each entry point of this group is a name and a class, a subclass of `btard.aggregation.PreAggregator`."""

ALIASES = {"average": "mean", "brute": "mda", "median": "coordinate_median", "trmean": "trimmed_mean"}
"""Other names under which rules are known; a run keeps the own one."""

MOST_RULE = 200
"""Characters of a rule with its parameters."""

_WHAT = "the aggregation rule"


def chosen_rule(text: str) -> tuple[Chain, ...]:
    """Read what a user types for a rule, and check all names; imports no rule.

    Returns:
        The alternatives, one unless it is a mixture, with the own names of rules that have others.

    Raises:
        UserError: it has another form, or no installed package has a rule or pre-aggregator of a name.
    """
    if len(text) > MOST_RULE:
        raise UserError(f"{_WHAT} is {text[:MOST_RULE]!r}, but must have at most {MOST_RULE} characters")
    chains = alternatives(text, _WHAT)
    for name, kind in ((link.name, kind) for chain in chains for link, kind in _kinds(chain)):
        if kind.find(name) is None and not (kind is RULES and name in ALIASES):
            others = f"{kind.kind} {name!r} of it " if len(chains) > 1 or len(chains[0].links) > 1 else ""
            raise UserError(
                f"{_WHAT} is {text!r}, but {others}must be one of those installed: {', '.join(kind.names())}"
            )
    return tuple(replace(chain, links=(*chain.links[:-1], _by_own_name(chain.links[-1]))) for chain in chains)


def _kinds(chain: Chain) -> Iterator[tuple[Named, Plugins]]:
    """Yield each link with the list in which its name must stand."""
    for link in chain.links[:-1]:
        yield link, PRE_AGGREGATORS
    yield chain.links[-1], RULES


def _by_own_name(link: Named) -> Named:
    """Return a rule by its own name, unless a package has one of the other name."""
    if link.name in ALIASES and RULES.find(link.name) is None:
        return replace(link, name=ALIASES[link.name])
    return link


class RuleSettings(Settings):
    """How gradients are aggregated, and how many peers do so once more where no sum proves the result."""

    rule: Annotated[
        str,
        Option(
            "how gradients are aggregated: an installed rule, with its parameters as in trimmed_mean:share=0.4, behind "
            "pre-aggregators as in nnm+krum; or several, as in krum@3~median, of which each step uses one",
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
            chosen_rule(value)
        except UserError as error:
            raise ValueError(str(error).partition(", but ")[2] or str(error)) from None
        return value
