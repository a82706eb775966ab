"""What names a run: its nonce and every single rule, however it is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from btard.identity.envelope import RUN_ID_SIZE
from btard.round.rules import AggregationRules, StepRules, VerificationRules
from btard.vocabulary import Eliminate, Validation, WireType

RULES = StepRules(
    nonce=bytes(16),
    dimension=40,
    wire=WireType.FLOAT32,
    commit_seconds=20.0,
    scatter_seconds=10.0,
    gather_seconds=10.0,
    agree_seconds=5.0,
    delay_bound_seconds=2.0,
    aggregation=AggregationRules("centered_clip", tau=1.0, reference_peers=4),
    verification=VerificationRules(validators=1.0),
)

OTHERS: dict[type, Any] = {
    bytes: b"another".ljust(16),
    WireType: WireType.BFLOAT16,
    str: "mean",
    Validation: Validation.EXACT,
    Eliminate: Eliminate.MUTUAL,
}


def other(value: Any) -> Any:
    """Return another value of the same kind, the nearest where there is one."""
    if type(value) in OTHERS:
        return OTHERS[type(value)]
    return 1.0 if value is None else value + 1 if isinstance(value, int) else value * (1 + 2**-52) + 5e-324


def changed_in_one_thing(rules: Any) -> Iterator[Any]:
    for field in dataclasses.fields(rules):
        value = getattr(rules, field.name)
        changed = changed_in_one_thing(value) if dataclasses.is_dataclass(value) else [other(value)]
        yield from (dataclasses.replace(rules, **{field.name: new}) for new in changed)


def test_every_rule_and_the_nonce_are_part_of_the_name() -> None:
    others = list(changed_in_one_thing(RULES))
    assert len(others) == 11 + 4 + 8 and all(made != RULES for made in others)
    names = {made.run for made in [RULES, *others]}
    assert len(names) == 1 + len(others) and {len(name) for name in names} == {RUN_ID_SIZE}


def test_equal_rules_have_one_name_in_any_notation() -> None:
    whole = dataclasses.replace(RULES, commit_seconds=20, scatter_seconds=10, delay_bound_seconds=2)
    assert whole == RULES and whole.run == RULES.run == dataclasses.replace(RULES).run


def test_the_name_of_a_run_is_pinned() -> None:
    """Peers of one version must agree on it."""
    assert RULES.run.hex() == "5a5898eec9cbc1876f8f643aabe432de"


def test_a_name_cannot_be_chosen() -> None:
    with pytest.raises(TypeError):
        dataclasses.replace(RULES, run=bytes(16))  # type: ignore[call-arg]
