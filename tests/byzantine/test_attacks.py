"""The mathematics of the misbehaviours, and that they are honest while their schedule rests."""

from __future__ import annotations

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.byzantine.control.honest import honest
from btard.byzantine.gradients.live.alone import ConstantDirection, SignFlipping
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.round.roster import Roster

START = 5
SETTINGS = BehaviourSettings(attack_start=START)
ROSTER = Roster(START + 1, (), frozenset(), bytes(32))


def made(name: str) -> Behaviour:
    return make_behaviour(SETTINGS.model_copy(update={"attack_type": name}), seed=b"seed")


def gradient(size: int = 1000, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("attack", ["SIGN_FLIPPING", "CONSTANT_DIRECTION", "LABEL_FLIPPING"])
def test_before_the_attack_everything_is_honest(attack: str) -> None:
    behaviour, vector = made(attack), gradient()
    assert not behaviour.attacks(START - 1)
    assert behaviour.gradient(START - 1, vector) is vector
    assert behaviour.batch(START - 1, "batch", str.upper) == "batch"
    assert behaviour.reported_loss(START - 1, 2.0) == 2.0
    assert behaviour.leaves(START - 1, ROSTER) is None


def test_sign_flipping() -> None:
    vector = gradient()
    before = vector.clone()
    sent = SignFlipping(SETTINGS, b"seed").gradient(START, vector)
    torch.testing.assert_close(sent, -1000 * before)
    assert torch.equal(vector, before), "the true gradient must stay as it was"
    assert (sent.dtype, sent.shape) == (torch.float32, vector.shape)


def test_constant_direction() -> None:
    attacker, vector = ConstantDirection(SETTINGS, b"seed"), gradient()
    before = vector.clone()
    sent, again = attacker.gradient(START, vector), attacker.gradient(START + 1, gradient(seed=1) * 3)
    torch.testing.assert_close(sent.norm(), 1000 * before.norm())
    torch.testing.assert_close(sent / sent.norm(), again / again.norm())
    assert torch.equal(vector, before)
    assert (sent.dtype, sent.shape) == (torch.float32, vector.shape)


def test_the_direction_is_shared_and_follows_its_seed_alone() -> None:
    vector = gradient()
    one, other = (ConstantDirection(SETTINGS, seed).gradient(START, vector) for seed in (b"a", b"b"))
    assert torch.equal(one, other)
    moved = BehaviourSettings(attack_start=START, direction_seed=667)
    cosine = torch.cosine_similarity(one, ConstantDirection(moved, b"a").gradient(START, vector), dim=0)
    assert abs(float(cosine)) < 5 / vector.numel() ** 0.5


def test_the_direction_is_gaussian() -> None:
    direction = ConstantDirection(SETTINGS, b"").gradient(START, gradient(100_000))
    scaled = direction / direction.norm() * 100_000**0.5
    assert abs(float(scaled.mean())) < 0.02
    assert abs(float((scaled.abs() < 1).float().mean()) - 0.6827) < 0.01


def test_the_direction_follows_the_size_of_the_gradient() -> None:
    attacker = ConstantDirection(SETTINGS, b"")
    assert [attacker.gradient(START, gradient(size)).numel() for size in (10, 20, 10)] == [10, 20, 10]


def test_label_flipping() -> None:
    attacker, vector = made("LABEL_FLIPPING"), gradient()
    assert attacker.batch(START, "batch", str.upper) == "BATCH"
    assert attacker.reported_loss(START, 2.0) is None
    assert attacker.gradient(START, vector) is vector, "the gradient of the wrong batch is sent as it is"


def test_a_caught_attacker_leaves_by_the_lottery() -> None:
    attacker = SignFlipping(BehaviourSettings(attack_start=START, check_proba=1.0), b"seed")
    assert attacker.attacks(START)
    assert attacker.leaves(START, ROSTER) is LeaveReason.LOTTERY


def test_none_is_the_honest_behaviour() -> None:
    assert type(honest(BehaviourSettings(check_proba=1.0), b"seed")) is Behaviour
