"""The aggregation rules by name, our own and those of installed packages, made from what a user writes.

A rule is written `name` or `name:key=value,key=value`, behind pre-aggregators `nnm+name`, and a mixture of rules
`name@2~name`. A run keeps this text in one form (`canonical`): keys in alphabetical order, and no parameter that has
its default.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import TypeVar

from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.composed import Composed
from btard.aggregation.mixture import Mixture
from btard.aggregation.rule import Rule
from btard.configuration.named import Named, constructed
from btard.configuration.rule import PRE_AGGREGATORS, RULES, chosen_rule
from btard.configuration.rule_text import Chain, joined
from btard.errors import UserError
from btard.plugins import Plugins, package_of

CENTERED_CLIP = "centered_clip"
"""The rule whose radius has a setting of its own, `tau`, and is kept beside the rule's text."""

_TAU = "tau"

Made = TypeVar("Made", Rule, PreAggregator)


@lru_cache(maxsize=64)
def make_rule(text: str) -> Rule:
    """Return the rule that a text names, with its parameters.

    Raises:
        UserError: no such rule or parameter, or a value that it cannot have; the sentence lists what there is.
    """
    chains = chosen_rule(text)
    rules = tuple(_of_chain(chain, text) for chain in chains)
    return rules[0] if len(rules) == 1 else Mixture(rules, tuple(chain.frequency for chain in chains))


def _of_chain(chain: Chain, text: str) -> Rule:
    final = _made(chain.links[-1], RULES, Rule, text)  # type: ignore[type-abstract]
    before = tuple(_made(link, PRE_AGGREGATORS, PreAggregator, text) for link in chain.links[:-1])  # type: ignore[type-abstract]
    return Composed(before, final) if before else final


def _made(chosen: Named, plugins: Plugins, kind: type[Made], text: str) -> Made:
    """Return what is installed under a name, with parameters; `text` is all that the user has written."""
    who = f"{plugins.kind} {chosen.name}"
    made = _class_of(chosen.name, plugins, kind)
    return constructed(made, chosen, lacks=who, refused=f"{who} cannot be {text!r}: ")


def _class_of(name: str, plugins: Plugins, kind: type[Made]) -> type[Made]:
    entry = plugins.find(name)
    assert entry is not None
    found = plugins.load(entry)
    if not (isinstance(found, type) and issubclass(found, kind) and is_dataclass(found)):
        package = package_of(entry)
        raise UserError(f"{plugins.kind} {name} of the package {package} is no dataclass that inherits {kind.__name__}")
    return found


def canonical(text: str) -> str:
    """Return the one form in which a run keeps a rule; raises UserError as `make_rule` does."""
    chains = chosen_rule(text)
    alone = len(chains) == 1 and len(chains[0].links) == 1
    kept = []
    for chain in chains:
        before = tuple(_kept(link, _made(link, PRE_AGGREGATORS, PreAggregator, text)) for link in chain.links[:-1])  # type: ignore[type-abstract]
        rule = _made(chain.links[-1], RULES, Rule, text)  # type: ignore[type-abstract]
        final = _kept(chain.links[-1], rule, but_tau=alone)
        kept.append(replace(chain, links=(*before, final), frequency=chain.frequency if len(chains) > 1 else 1.0))
    return joined(tuple(kept))


def _kept(link: Named, made: Rule | PreAggregator, *, but_tau: bool = False) -> Named:
    """Return a link with those values of its parameters that are not defaults."""
    own = fields(made)  # type: ignore[arg-type]
    values = {field.name: getattr(made, field.name) for field in own if getattr(made, field.name) != field.default}
    if but_tau and link.name == CENTERED_CLIP:
        values.pop(_TAU, None)
    return Named(link.name, values)


def rule_and_tau(text: str, tau: float | None, default: float) -> tuple[str, float]:
    """Return a rule's canonical text and the clipping radius beside it, which the text may give as well.

    Args:
        tau: of the setting of that name, None if it is not set.
        default: the radius where neither says one.

    Raises:
        UserError: as `make_rule`, or the text and `tau` contradict each other, or `tau` is set for a centered_clip that
            is part of something, whose radius only its text says.
    """
    chains, kept = chosen_rule(text), canonical(text)
    last = [chain.links[-1] for chain in chains if chain.links[-1].name == CENTERED_CLIP]
    if last and (len(chains) > 1 or len(chains[0].links) > 1):
        if tau is not None:
            raise UserError(
                f"a tau of {tau:g} says nothing of {text}: give the radius there, as centered_clip:tau={tau:g}"
            )
    elif last and _TAU in last[0].values:
        written = float(last[0].values[_TAU])
        if tau is not None and tau != written:
            raise UserError(f"the aggregation rule {text} contradicts a tau of {tau:g}: give one of the two")
        return kept, written
    return kept, default if tau is None else tau
