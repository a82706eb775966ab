"""The aggregation rules by name, our own and those of installed packages, made from what a user writes.

A rule is written `name` or `name:key=value,key=value`. A run keeps this text in one form (`canonical`): keys in
alphabetical order, and no parameter that has its default.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from btard.aggregation.rule import Rule
from btard.configuration.named import Named
from btard.configuration.rule import RULES, chosen_rule
from btard.errors import UserError
from btard.plugins import package_of

CENTERED_CLIP = "centered_clip"
"""The rule whose radius has a setting of its own, `tau`, and is kept beside the rule's text."""

_TAU = "tau"


@lru_cache(maxsize=64)
def make_rule(text: str) -> Rule:
    """Return the rule that a text names, with its parameters.

    Raises:
        UserError: no such rule or parameter, or a value that it cannot have; the sentence lists what there is.
    """
    chosen = chosen_rule(text)
    name, made = chosen.name, _class_of(chosen.name)
    known = sorted(field.name for field in fields(made))  # type: ignore[arg-type]
    for key in chosen.values:
        if key not in known:
            has = f"its parameters are: {', '.join(known)}" if known else "it has none"
            raise UserError(f"the aggregation rule {name} has no parameter {key!r}; {has}")
    try:
        rule: Rule = TypeAdapter(made).validate_python(dict(chosen.values))
    except ValidationError as error:
        report = error.errors(include_url=False)[0]
        reason = report["msg"].removeprefix("Value error, ")
        where = f"{report['loc'][0]} is {report['input']!r}: " if report["loc"] else ""
        raise UserError(f"the aggregation rule {name} cannot be {text!r}: {where}{reason}") from None
    return rule


def _class_of(name: str) -> type[Rule]:
    entry = RULES.find(name)
    assert entry is not None
    found = RULES.load(entry)
    if not (isinstance(found, type) and issubclass(found, Rule) and is_dataclass(found)):
        package = package_of(entry)
        raise UserError(f"the aggregation rule {name} of the package {package} is no dataclass that inherits Rule")
    return found


def canonical(text: str) -> str:
    """Return the one form in which a run keeps a rule; raises UserError as `make_rule` does."""
    return str(_kept(text))


def _kept(text: str) -> Named:
    rule, name = make_rule(text), chosen_rule(text).name
    values = {
        field.name: getattr(rule, field.name)
        for field in fields(rule)  # type: ignore[arg-type]
        if (name, field.name) != (CENTERED_CLIP, _TAU) and getattr(rule, field.name) != field.default
    }
    return Named(name, values)


def rule_and_tau(text: str, tau: float | None, default: float) -> tuple[str, float]:
    """Return a rule's canonical text and the clipping radius beside it, which the text may give as well.

    Args:
        tau: of the setting of that name, None if it is not set.
        default: the radius where neither says one.

    Raises:
        UserError: as `make_rule`, or the text and `tau` contradict each other.
    """
    chosen, kept = chosen_rule(text), canonical(text)
    if chosen.name == CENTERED_CLIP and _TAU in chosen.values:
        written = float(chosen.values[_TAU])
        if tau is not None and tau != written:
            raise UserError(f"the aggregation rule {text} contradicts a tau of {tau:g}: give one of the two")
        return kept, written
    return kept, default if tau is None else tau
