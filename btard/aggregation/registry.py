"""The aggregation rules by name, our own and those of installed packages, and what a user writes of them.

A rule is written `name` or `name:key=value,key=value`. A run keeps the same text in one form (`canonical`): parameters
in the order of the rule's fields, and none that has its default.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from btard.aggregation.rule import Rule
from btard.configuration.rule import RULES_GROUP, split_rule
from btard.errors import UserError
from btard.plugins import load_plugin

OWN_SETTINGS = frozenset({("centered_clip", "tau")})
"""Parameters that a setting of their own gives, and that a run keeps beside the rule's text."""


@lru_cache(maxsize=64)
def make_rule(text: str) -> Rule:
    """Return the rule that a text names, with its parameters.

    Raises:
        UserError: no such rule or parameter, or a value that it cannot have; the sentence lists what there is.
    """
    name, given = split_rule(text)
    made = load_plugin(RULES_GROUP, name, "aggregation rule")
    if not (isinstance(made, type) and issubclass(made, Rule) and is_dataclass(made)):
        raise UserError(f"the aggregation rule {name} is no frozen dataclass that inherits btard.aggregation.Rule")
    known = [field.name for field in fields(made)]
    for key in given:
        if key not in known:
            has = f"its parameters are: {', '.join(known)}" if known else "it has none"
            raise UserError(f"the aggregation rule {name} has no parameter {key!r}; {has}")
    try:
        rule: Rule = TypeAdapter(made).validate_python(given)
    except ValidationError as error:
        report = error.errors(include_url=False)[0]
        key = ".".join(map(str, report["loc"]))
        where = f"{key}={given[key]}" if key in given else text
        raise UserError(f"{where} is no parameter of the aggregation rule {name}: {_sentence(report['msg'])}") from None
    return rule


def _sentence(message: str) -> str:
    words = message.removeprefix("Value error, ")
    return words[:1].lower() + words[1:]


def canonical(text: str) -> str:
    """Return the one form in which a run keeps a rule; raises UserError as `make_rule` does."""
    name, _ = split_rule(text)
    rule = make_rule(text)
    kept = [
        f"{field.name}={_shown(getattr(rule, field.name))}"
        for field in fields(rule)  # type: ignore[arg-type]
        if (name, field.name) not in OWN_SETTINGS
        and (field.default is MISSING or getattr(rule, field.name) != field.default)
    ]
    return f"{name}:{','.join(kept)}" if kept else name


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def rule_and_tau(text: str, tau: float | None, default: float) -> tuple[str, float]:
    """Return a rule's canonical text and the clipping radius beside it, which the text may give as well.

    Raises:
        UserError: as `make_rule`, or text and `tau` contradict each other.
    """
    name, given = split_rule(text)
    kept = canonical(text)
    if (name, "tau") in OWN_SETTINGS and "tau" in given:
        written: float = getattr(make_rule(text), "tau")  # noqa: B009 - a rule in general has none
        if tau is not None and tau != written:
            raise UserError(f"the rule {text} contradicts a tau of {tau:g}: give one of the two")
        return kept, written
    return kept, default if tau is None else tau
