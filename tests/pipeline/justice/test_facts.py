"""What a stranger says of a plan: it chooses neither code nor numbers of no use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from btard.identity import Malformed
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.schedule.optimizer import OptimizerPlan
from tests.pipeline.machine.test_machine import machines_of


@pytest.fixture(scope="module")
def facts() -> PlanFacts:
    machine = machines_of(split="1-1-1-1")[0]
    return PlanFacts.of(machine.plan, machine.context.worker.stage.cut, machine.context.worker.plan)


def told(facts: PlanFacts, field: str, **changes: Any) -> bytes:
    """Return what a stranger writes who changes something in one of the fields."""
    known = json.loads(facts.encode())
    known[field] |= changes
    return json.dumps(known, sort_keys=True, separators=(",", ":")).encode()


def test_facts_come_over_whole(facts: PlanFacts) -> None:
    again = PlanFacts.decode(facts.encode())
    assert again.encode() == facts.encode() and again.digest == facts.digest
    assert again.optimizer == facts.optimizer and isinstance(again.optimizer, OptimizerPlan)
    assert again.cut.config.to_dict() == facts.cut.config.to_dict()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attn_implementation", "strangers/kernel"),
        ("_attn_implementation", "strangers/kernel"),
        ("auto_map", {"AutoConfig": "strangers/code--Config"}),
        ("experts_implementation", "strangers/kernel"),
        ("model_type", "llama"),
        ("model_type", ["gpt2"]),
        ("n_layer", 3),
        ("n_embd", "many"),
        ("n_embd", 1 << 40),
    ],
)
def test_a_stranger_chooses_no_model_and_no_code(facts: PlanFacts, name: str, value: object) -> None:
    with pytest.raises(Malformed):
        PlanFacts.decode(told(facts, "config", **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "none"),
        ("learning_rate", "fast"),
        ("weight_decay", [1]),
        ("max_grad_norm", -1.0),
        ("precision", "fp8"),
        ("first_exponent", 10**400),
        ("first_exponent", -1),
        ("growth_steps", "often"),
        ("growth_steps", 0),
        ("betas", [0.9]),
    ],
)
def test_an_optimizer_of_no_use_is_refused(facts: PlanFacts, name: str, value: object) -> None:
    with pytest.raises(Malformed):
        PlanFacts.decode(told(facts, "optimizer", **{name: value}))
