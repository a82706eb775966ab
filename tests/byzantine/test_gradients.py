"""The published gradient attacks: their formulas, what they know of honest gradients, and the past that one keeps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.control.drift import Drift
from btard.byzantine.gradients.live.delayed_gradient import DelayedGradient
from btard.byzantine.gradients.live.past import Past
from btard.byzantine.gradients.live.published import Published
from btard.byzantine.gradients.live.random_noise import RandomNoise
from btard.byzantine.gradients.statistics import deviation, most_deviations
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.errors import UserError
from btard.identity import IdentityKey
from btard.round.roster import Roster
from btard.tasks.base import Batch
from tests.btard.round.swarm import keys

KEYS = keys(5)
D = 2000


def settings(**values: object) -> BehaviourSettings:
    return BehaviourSettings.model_validate({"attack_start": 0, "collude_patience": 0.0} | values)


def vector(seed: int, size: int = D) -> torch.Tensor:
    return 1.0 + torch.randn(size, generator=torch.Generator().manual_seed(seed))


def made(name: str, seed: bytes, **values: object) -> Conspirator:
    behaviour = make_behaviour(settings(attack_type=name, **values), seed=seed)
    assert isinstance(behaviour, Conspirator)
    return behaviour


def mean(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(rows).mean(0)


def gang(name: str, count: int, **values: object) -> list[Conspirator]:
    members = [made(name, bytes([i]), collude_at="memory:gang", **values) for i in range(count)]
    for attacker, key in zip(members, KEYS, strict=False):
        attacker.attach(key)
    return members


def roster(members: int, step: int = 0) -> Roster:
    peers = sorted(IdentityKey.from_seed(bytes([i]) * 32).peer_id for i in range(members))
    return Roster(step, tuple(peers), frozenset(), bytes(32))


def test_the_deviation_is_by_coordinate() -> None:
    rows = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    assert deviation(rows).tolist() == [2.0, 0.0]
    assert deviation(rows[:1]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("peers", "attackers", "share"),
    [
        pytest.param(50, 24, 24 / 26, id="the paper's own example, s = 2"),
        pytest.param(16, 7, 7 / 9, id="ours, s = 2"),
        pytest.param(51, 24, 25 / 27, id="an odd number of peers"),
    ],
)
def test_z_max_is_the_normal_quantile(peers: int, attackers: int, share: float) -> None:
    z = most_deviations(peers, attackers)
    assert math.isclose(0.5 * (1 + math.erf(z / math.sqrt(2))), share, abs_tol=1e-12)


@pytest.mark.parametrize(("peers", "attackers"), [(8, 2), (16, 1), (3, 3), (1, 1), (4, 0)])
def test_too_few_attackers_cannot_hide(peers: int, attackers: int) -> None:
    assert most_deviations(peers, attackers) == 0.0


def test_a_majority_of_attackers_needs_nobody() -> None:
    assert 8.0 < most_deviations(8, 6) < math.inf


@pytest.mark.parametrize(
    ("name", "parameters", "times"),
    [("EMPIRE", "", -0.1), ("EMPIRE", "factor=3", -2.0), ("INNER_PRODUCT", "factor=0.5,negative=true", 0.5)],
)
def test_published_attacks_take_other_parameters(name: str, parameters: str, times: float) -> None:
    (alone,) = gang(name, 1, attack_parameters=parameters)
    torch.testing.assert_close(alone.gradient(0, vector(0)), times * vector(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("LITTLE", "factor=-16", "which attackers in a swarm cannot try out"),
        ("LITTLE", "size=3", "the attack little has no parameter 'size'"),
        ("MIN_MAX", "direction", "must be NAME or NAME:KEY=VALUE"),
        ("MIMIC", "warmup=-1", "warmup is '-1'"),
    ],
)
def test_other_parameters_are_told_at_once(name: str, parameters: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(name, b"", attack_parameters=parameters)


def test_a_colluder_sends_its_own_row() -> None:
    """FANG_TRIMMED_MEAN draws a vector for each colluder."""
    members = gang("FANG_TRIMMED_MEAN", 3)
    sent = [one.gradient(0, vector(0)) for one in members]
    assert len({bytes(one.numpy().tobytes()) for one in sent}) == 3
    alone, expected = vector(0), 2.0
    for one in sent:
        stretched = one / alone
        assert float(stretched.max()) <= expected + 1e-5 and float(stretched.min()) >= 1 / expected - 1e-5


def test_an_attack_with_a_memory_learns_while_it_rests() -> None:
    (attacker,) = gang("MIMIC", 1, attack_start=4, attack_parameters="warmup=3")
    assert isinstance(attacker, Published)
    for step in range(4):
        assert torch.equal(attacker.gradient(step, vector(step)), vector(step))
    assert attacker.attack.state()["counters"].tolist() == [3, 0]


@pytest.mark.parametrize("epsilon", [0.1, 0.6])
def test_inner_product(epsilon: float) -> None:
    gradients = [vector(i) for i in range(3)]
    for attacker, gradient in zip(gang("INNER_PRODUCT", 3, epsilon=epsilon), gradients, strict=True):
        sent = attacker.gradient(0, gradient)
    torch.testing.assert_close(sent, -epsilon * mean(gradients))
    assert float(sent @ mean(gradients)) < 0


def test_alie_moves_the_mean_by_z_max_deviations() -> None:
    gradients = [vector(i) for i in range(3)]
    attackers = gang("ALIE", 3)
    for attacker, gradient in zip(attackers, gradients, strict=True):
        attacker.batch_seed(roster(7), bytes(32))
        sent = attacker.gradient(0, gradient)
    z = most_deviations(7, 3)
    assert z > 0
    torch.testing.assert_close(sent, mean(gradients) - z * deviation(torch.stack(gradients)))


def test_a_lone_conspirator_knows_only_its_own_gradient() -> None:
    alone = made("INNER_PRODUCT", b"")
    alone.attach(KEYS[0])
    torch.testing.assert_close(alone.gradient(0, vector(0)), -0.1 * vector(0))


def test_a_colluders_gradient_of_another_length_is_left_out() -> None:
    one, other = gang("INNER_PRODUCT", 2)
    one.gradient(0, vector(0, 10))
    torch.testing.assert_close(other.gradient(0, vector(1)), -0.1 * vector(1))


def test_nobody_waits_for_a_colluder_that_sits_out() -> None:
    one, _ = gang("INNER_PRODUCT", 2, collude_patience=60.0)
    one.batch_seed(roster(3), bytes(32))  # of which the other one is no member
    one.gradient(0, vector(0))


def test_rop_learns_its_history_before_it_attacks() -> None:
    (attacker,) = gang("ROP", 1, attack_start=1, rop_length=1e-6)
    assert attacker.gradient(0, vector(0)) is not None
    torch.testing.assert_close(attacker.gradient(1, vector(1)), vector(0), rtol=0, atol=1e-5)


def test_noise_is_as_strong_as_stated_and_drawn_anew() -> None:
    attacker = RandomNoise(settings(noise_std=0.5), b"")
    attacker.attach(KEYS[0])
    first, second = (attacker.gradient(step, vector(0)) - vector(0) for step in (0, 1))
    assert abs(float(first.std()) - 0.5) < 0.05
    assert abs(float(torch.cosine_similarity(first, second, dim=0))) < 0.2


def test_relative_noise_follows_the_deviation_of_each_coordinate() -> None:
    scale = torch.tensor([0.0] * (D // 2) + [4.0] * (D // 2))
    rows = [1.0 + scale * vector(i) for i in range(3)]
    for attacker, row in zip(gang("RANDOM_NOISE", 3, noise_relative=True, noise_std=1.0), rows, strict=True):
        noise = attacker.gradient(0, row) - row
    assert float(noise[: D // 2].abs().max()) == 0.0
    assert 3.0 < float(noise[D // 2 :].std()) < 5.0


def test_relative_noise_alone_is_as_strong_as_the_gradient() -> None:
    (attacker,) = gang("RANDOM_NOISE", 1, noise_relative=True)
    noise = attacker.gradient(0, vector(0)) - vector(0)
    assert 0.8 < float(noise.norm() / vector(0).norm()) < 1.2


def test_drift_is_as_large_as_stated() -> None:
    off = Drift(settings(drift=1e-3), b"").gradient(0, vector(0)) - vector(0)
    assert math.isclose(float(off.norm() / vector(0).norm()), 1e-3, rel_tol=1e-2)


def delayed(directory: Path | None, **values: object) -> DelayedGradient:
    return DelayedGradient(settings(attack_directory=directory, **values), b"seed")


def test_a_delayed_gradient_is_k_steps_old() -> None:
    attacker = delayed(None, delay_steps=3, attack_start=5)
    sent = [attacker.gradient(step, vector(step)) for step in range(9)]
    assert all(torch.equal(sent[step], vector(step)) for step in range(5))
    assert all(torch.equal(sent[step], vector(step - 3)) for step in range(5, 9))


def test_with_too_short_a_past_the_oldest_gradient_has_to_do() -> None:
    attacker = delayed(None, delay_steps=1000)
    sent = [attacker.gradient(step, vector(step)) for step in (7, 8, 10)]
    assert [torch.equal(vector(7), one) for one in sent] == [True] * 3


def test_the_past_survives_a_restart(tmp_path: Path) -> None:
    first = delayed(tmp_path, delay_steps=4)
    for step in range(6):
        first.gradient(step, vector(step))
    assert torch.equal(delayed(tmp_path, delay_steps=4).gradient(6, vector(6)), vector(2))


def test_a_past_of_another_shape_is_begun_anew(tmp_path: Path) -> None:
    assert Past(tmp_path, "p", 4, D).exchange(0, vector(0)) is None
    assert Past(tmp_path, "p", 5, D).exchange(1, vector(1)) is None


def test_the_past_takes_its_stated_disk_and_no_step_twice(tmp_path: Path) -> None:
    past = Past(tmp_path, "p", 10, D)
    assert [past.exchange(step, vector(step)) for step in (0, 0)] == [None, None]
    assert (tmp_path / "p.float32").stat().st_size == 10 * 4 * D


def test_a_past_that_cannot_be_kept_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="ATTACK_DIRECTORY"):
        Past(tmp_path / "file", "p", 1, 1)


def flipped(batch: Batch) -> Batch:
    return batch.replaced(labels=9 - batch.tensors["labels"])


def test_labels_are_shuffled_and_inputs_stay() -> None:
    images = torch.arange(64.0).reshape(64, 1)
    batch = Batch({"images": images, "labels": torch.arange(64) % 10}, 64)
    attacker = make_behaviour(settings(attack_start=1, attack_type="LABEL_SHUFFLE"), seed=b"seed")
    assert attacker.batch(0, batch, flipped) is batch
    one, two = attacker.batch(1, batch, flipped), attacker.batch(2, batch, flipped)
    assert torch.equal(one.tensors["images"], images)
    assert torch.equal(one.tensors["labels"].sort().values, batch.tensors["labels"].sort().values)
    assert not torch.equal(one.tensors["labels"], batch.tensors["labels"])
    assert not torch.equal(one.tensors["labels"], two.tensors["labels"])
    assert attacker.reported_loss(0, 1.0) == 1.0 and attacker.reported_loss(1, 1.0) is None
