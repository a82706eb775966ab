"""Attacks made of honest vectors, beside slow oracles and the bounds that they must keep."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from btard.byzantine.gradients.attack import GradientAttack
from btard.byzantine.gradients.crafted.min_max import Whither
from btard.byzantine.gradients.crafted.rop import relocated
from btard.byzantine.gradients.registry import make_attack
from btard.errors import UserError
from tests.byzantine.gradients.helpers import ATTACKERS, HONEST, D, knowing, rows


def made(text: str) -> GradientAttack:
    attack = make_attack(text)
    assert isinstance(attack, GradientAttack)
    return attack


def vector(seed: int) -> torch.Tensor:
    return rows(seed, 1, 2000)[0] + 0.5


# Bounds on distances.


def far_enough(known: torch.Tensor, sent: torch.Tensor, name: str) -> bool:
    """Whether a vector breaks the bound of `name`, counted pair by pair in double precision."""
    honest, crafted = [row.double() for row in known], sent.double()
    apart = [[float((a - b).norm()) for b in honest] for a in honest]
    own = [float((crafted - b).norm()) for b in honest]
    if name == "min_max":
        return max(own) > max(map(max, apart)) * (1 + 1e-6)
    return sum(x * x for x in own) > max(sum(x * x for x in line) for line in apart) * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", Whither)
@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_distances_stay_within_those_of_honest_workers(name: str, direction: Whither, seed: int) -> None:
    known = rows(seed)
    attack = made(f"{name}:direction={direction.value}")
    sent, mean = attack.vectors(knowing(known)), known.mean(0)
    assert not far_enough(known, sent, name)
    assert far_enough(known, mean + 1.001 * (sent - mean), name), "it goes as far as the bound lets it"


@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_the_factor_is_that_of_the_papers_halving_search(name: str) -> None:
    known = rows(9)
    sent, mean, sigma = made(name).vectors(knowing(known)), known.mean(0), known.std(0)
    factor, step, good = 10.0, 10.0, 0.0
    while step > 1e-6:
        if far_enough(known, mean - factor * sigma, name):
            factor -= step / 2
        else:
            good, factor = factor, factor + step / 2
        step /= 2
    torch.testing.assert_close(sent, mean - good * sigma, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_where_all_are_equal_there_is_no_room(name: str) -> None:
    known = torch.ones(4, D)
    for direction in Whither:
        sent = made(f"{name}:direction={direction.value}").vectors(knowing(known))
        torch.testing.assert_close(sent, known[0])


# Bulyan, anticge.


def test_one_coordinate_is_shifted() -> None:
    known = rows()
    for text, where in (("", D - 1), (",target_idx=3", 3), (",target_idx=-2", D - 2)):
        pushed = made(f"bulyan:factor=2{text}").vectors(knowing(known)) - known.mean(0)
        assert pushed.nonzero().flatten().tolist() == [where]
        assert float(pushed[where]) == pytest.approx(2.0, rel=1e-5)
    everywhere = made("bulyan:factor=2,target_idx=all").vectors(knowing(known))
    torch.testing.assert_close(everywhere, known.mean(0) + 2.0)


def test_a_coordinate_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=f"has {D} coordinates"):
        made(f"bulyan:factor=2,target_idx={D}").vectors(knowing())


def kept_by_cge(known: torch.Tensor, sent: torch.Tensor, declared: int) -> int:
    """Return how many attackers are among the shortest n - f vectors, ties resolved towards honest ones."""
    lengths = torch.linalg.vector_norm(torch.cat([known, sent.expand(ATTACKERS, -1)]), dim=1)
    kept = lengths.argsort(stable=True)[: len(lengths) - declared]
    return int((kept >= len(known)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_anticge_is_the_longest_vector_that_cge_keeps(seed: int) -> None:
    known = rows(seed)
    sent = made("anticge").vectors(knowing(known))
    assert kept_by_cge(known, sent, ATTACKERS) == ATTACKERS
    assert kept_by_cge(known, sent * 1.001, ATTACKERS) < ATTACKERS
    shortest = sorted(known, key=lambda row: float(row.norm()))[: HONEST - ATTACKERS]
    total = torch.stack(shortest).sum(0)
    torch.testing.assert_close(sent / sent.norm(), -total / total.norm())


def test_legacy_anticge_counts_the_shortest_twice() -> None:
    known = rows(1)
    shortest = sorted(known, key=lambda row: float(row.norm()))[: HONEST - ATTACKERS]
    total = torch.stack([shortest[0], *shortest]).sum(0)
    sent = made("anticge:legacy=true").vectors(knowing(known))
    torch.testing.assert_close(sent / sent.norm(), -total / total.norm())


def test_anticge_gives_up_where_too_many_attack() -> None:
    assert bool(made("anticge").vectors(dataclasses.replace(knowing(), declared=ATTACKERS - 1)).isnan().all())


@pytest.mark.parametrize("declared", [0, HONEST])
def test_anticge_without_a_next_vector_says_so(declared: int) -> None:
    knowledge = dataclasses.replace(knowing(), declared=declared, attackers=min(declared, ATTACKERS))
    with pytest.raises(UserError, match=f"1 to {HONEST - 1} liars"):
        made("anticge").vectors(knowledge)


# Fang.


@pytest.mark.parametrize("seed", range(5))
def test_fang_draws_just_beyond_the_extremes(seed: int) -> None:
    known = rows(seed, size=200) - 0.5
    sent = made("fang").vectors(knowing(known, seed=seed))
    assert sent.shape == (ATTACKERS, 200)
    for j in range(200):
        column, mean = known[:, j].tolist(), float(known[:, j].mean())
        extreme = min(column) if mean > 0 else max(column)
        ends = sorted((extreme, extreme / 2 if (mean > 0) == (extreme > 0) else extreme * 2))
        for value in sent[:, j].tolist():
            assert ends[0] - 1e-6 <= value <= ends[1] + 1e-6
            assert value <= extreme + 1e-6 if mean > 0 else value >= extreme - 1e-6


def krum_choice(vectors: list[torch.Tensor], f: int) -> int:
    """Return the index that Krum selects (Blanchard et al., 2017), pair by pair."""
    n = len(vectors)
    scores = []
    for i in range(n):
        apart = sorted(float((vectors[i] - vectors[j]).double().square().sum()) for j in range(n) if j != i)
        scores.append(sum(apart[: n - f - 2]))
    return scores.index(min(scores))


@pytest.mark.parametrize("seed", range(5))
def test_krum_selects_fangs_vector_and_not_the_double(seed: int) -> None:
    known = rows(seed, count=9)
    sent = made("fang:against=krum").vectors(knowing(known))
    sizes = sent.abs().unique()
    assert len(sizes) == 1 and torch.equal(torch.sign(sent), -torch.sign(known.mean(0)))
    assert krum_choice([*known, *[sent] * ATTACKERS], ATTACKERS) >= len(known)
    assert krum_choice([*known, *[2 * sent] * ATTACKERS], ATTACKERS) < len(known)


# Mimic, sleeper, rop.


def test_mimic_copies_the_worker_that_differs_most() -> None:
    """Worker 4 differs along one direction in every step; all others only by noise."""
    attack, direction = made("mimic:warmup=8"), rows(99, 1)[0]
    for step in range(12):
        known = 0.1 * rows(step)
        known[4] += 3.0 * direction
        sent = attack.vectors(knowing(known, step=step))
        assert torch.equal(sent, known[4 if step >= 7 else 0])


def test_mimic_finds_the_leading_direction() -> None:
    attack = made("mimic:warmup=60")
    generator = torch.Generator().manual_seed(0)
    spread = torch.ones(D)
    spread[5] = 6.0
    for step in range(50):
        attack.observe(knowing(torch.randn(30, D, generator=generator) * spread, step=step))
    assert abs(float(attack.state()["direction"][5])) > 0.95


def test_a_sleeper_looks_honest_until_it_wakes() -> None:
    attack = made("sleeper:until=5,attack=little:factor=2;negative=true")
    for step in range(5):
        known = rows(step)
        sent = attack.vectors(knowing(known, step=step, seed=step))
        followed = [next(i for i, row in enumerate(known) if torch.equal(row, one)) for one in sent]
        assert len(set(followed)) == ATTACKERS
    known = rows(5)
    assert torch.allclose(attack.vectors(knowing(known, step=5)), known.mean(0) - 2 * known.std(0), atol=1e-5)


def test_a_sleeper_learns_while_it_sleeps() -> None:
    attack = made("sleeper:until=5,attack=delayed:delay=3")
    for step in range(5):
        attack.observe(knowing(step=step)) if step % 2 else attack.vectors(knowing(step=step))
    assert torch.equal(attack.vectors(knowing(step=5)), rows(2).mean(0))


@pytest.mark.parametrize("text", ["sleeper:attack=label_flip", "sleeper:attack=nobody"])
def test_a_sleeper_needs_an_attack_on_vectors(text: str) -> None:
    with pytest.raises(UserError, match=r"one on vectors|one of these"):
        made(text)


def test_rop_pushes_off_the_history() -> None:
    attack = made("rop:length=2")
    history = None
    for step in range(4):
        average = rows(step).mean(0)
        before = average if history is None else history
        sent = attack.vectors(knowing(step=step)) if step > 1 else attack.observe(knowing(step=step))
        history = 0.9 * before + 0.1 * average
        if sent is not None:
            reference = 0.9 * before + 0.1 * average
            assert float((sent - before).norm()) == pytest.approx(2.0, rel=1e-4)
            assert abs(float(torch.cosine_similarity(sent - before, reference, dim=0))) < 1e-4


@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 180.0, 270.0])
def test_rop_perturbs_at_its_angle(angle: float) -> None:
    average, history = vector(0), vector(1)
    reference = 0.9 * history + 0.1 * average
    push = relocated(average, history, angle=angle, length=2.0) - history
    assert math.isclose(float(push.norm()), 2.0, rel_tol=1e-4)
    cosine = float(torch.cosine_similarity(push, reference, dim=0))
    assert math.isclose(cosine, math.cos(math.radians(angle)), abs_tol=1e-4)


def test_rop_may_start_at_the_average() -> None:
    average, history = vector(0), vector(1)
    sent = relocated(average, history, angle=90.0, length=1e-6, relocation=0.0)
    torch.testing.assert_close(sent, average, rtol=0, atol=1e-5)


def test_rop_of_nothing_is_finite() -> None:
    zero, ones = torch.zeros(5), torch.ones(5)
    assert bool(torch.isfinite(relocated(zero, zero, angle=90.0, length=1.0)).all())
    assert bool(torch.isfinite(relocated(ones, ones, angle=90.0, length=1.0)).all()), "nothing is across the reference"
