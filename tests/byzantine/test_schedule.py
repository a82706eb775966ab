"""The attack schedule: deterministic, counted, with the stated frequencies; the lottery."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.byzantine.schedule import AttackSchedule
from btard.byzantine.settings import BehaviourSettings

STEPS = 4000


def schedule(seed: bytes = b"peer", **settings: object) -> AttackSchedule:
    return AttackSchedule(BehaviourSettings.model_validate({"attack_start": 0, **settings}), seed)


def test_the_defaults_are_the_published_ones() -> None:
    settings = BehaviourSettings()
    assert (settings.attack_type, settings.attack_start, settings.attack_proba) == ("NONE", 3000, 1.0)
    assert settings.attack_every == 1
    assert (settings.max_attacks, settings.check_proba, settings.direction_seed) == (10**9, None, 666)


def test_every_step_from_the_start_on_is_attacked_by_default() -> None:
    attacker = AttackSchedule(BehaviourSettings(), b"")
    assert [attacker.attacks(step) for step in (0, 2999, 3000, 3001)] == [False, False, True, True]


def test_a_schedule_limits_attacks_and_counts_each_step_once() -> None:
    attacker = schedule(max_attacks=3)
    assert [attacker.attacks(step) for step in (0, 0, 1, 1, 2, 3, 4, 0, 3)] == [True] * 5 + [False, False, True, False]
    assert attacker.count == 3


def test_only_every_so_many_steps_are_attacked() -> None:
    attacker = schedule(attack_start=5, attack_every=10, max_attacks=3)
    assert [step for step in range(60) if attacker.attacks(step)] == [5, 15, 25]


def test_a_period_and_a_probability_combine() -> None:
    attacker = schedule(attack_every=4, attack_proba=0.5)
    attacked = [step for step in range(STEPS) if attacker.attacks(step)]
    assert all(step % 4 == 0 for step in attacked)
    assert within(len(attacked), STEPS // 4, 0.5)


@given(st.binary(max_size=40), st.floats(0, 1), st.permutations(range(20)))
def test_an_attack_depends_on_seed_and_step_alone(seed: bytes, proba: float, order: list[int]) -> None:
    one, other = schedule(seed, attack_proba=proba), schedule(seed, attack_proba=proba)
    assert {step: one.attacks(step) for step in order} == {step: other.attacks(step) for step in range(20)}


def within(hits: int, draws: int, probability: float) -> bool:
    """Whether a count lies within five standard deviations; the seed is fixed, so this holds always or never."""
    return abs(hits - draws * probability) <= 5 * math.sqrt(draws * probability * (1 - probability))


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_attacks_are_as_frequent_as_stated(probability: float) -> None:
    attacker = schedule(attack_proba=probability)
    hits = sum(attacker.attacks(step) for step in range(STEPS))
    assert within(hits, STEPS, probability)
    assert attacker.count == hits


@pytest.mark.parametrize("probability", [0.0, 0.0375, 0.5, 1.0])
def test_the_lottery_catches_as_often_as_stated(probability: float) -> None:
    attacker = schedule(check_proba=probability)
    caught = sum(attacker.attacks(step) and attacker.caught(step) for step in range(STEPS))
    assert within(caught, STEPS, probability)


def test_attack_and_lottery_are_independent_draws() -> None:
    attacker = schedule(attack_proba=0.5, check_proba=0.5)
    attacked = [step for step in range(STEPS) if attacker.attacks(step)]
    assert within(sum(attacker.caught(step) for step in attacked), len(attacked), 0.5)


def test_attackers_draw_independently_of_each_other() -> None:
    one, other = schedule(b"a", attack_proba=0.5), schedule(b"b", attack_proba=0.5)
    assert within(sum(one.attacks(step) and other.attacks(step) for step in range(STEPS)), STEPS, 0.25)


def test_nobody_is_caught_without_a_lottery_or_without_an_attack() -> None:
    free, idle = schedule(), schedule(attack_start=10, check_proba=1.0)
    assert not any(free.attacks(step) and free.caught(step) for step in range(10))
    assert not any(idle.attacks(step) or idle.caught(step) for step in range(10))
    assert not schedule(check_proba=1.0).caught(0), "a step that was not played cannot be caught"
