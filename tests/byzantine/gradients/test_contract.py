"""What every attack on vectors keeps to: shapes, determinism, a state that can be saved, and no shared memory."""

from __future__ import annotations

import pytest
import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.registry import attack_names, make_attack
from tests.byzantine.gradients.helpers import ATTACKERS, D, averaging, knowing, rows

TEXTS = [name for name in attack_names() if isinstance(make_attack(name), GradientAttack)] + [
    "anticge:legacy=true",
    "bulyan:target_idx=all",
    "delayed:delay=2",
    "fang:against=krum",
    "little:factor=1.5,negative=true",
    "mimic:warmup=3",
    "mimic:warmup=0",
    "min_max:direction=unit",
    "min_sum:direction=sign",
    "nan:infinite=true",
    "noise:scale=relative",
    "sleeper:until=3,attack=delayed:delay=2",
    "sleeper:until=2,attack=little:factor=1;negative=true",
]


def made(text: str) -> GradientAttack:
    attack = make_attack(text)
    assert isinstance(attack, GradientAttack)
    return attack


def seen(step: int) -> Knowledge:
    known = rows(step)
    return knowing(known, step=step, seed=step, aggregate=averaging(known))


@pytest.mark.parametrize("text", TEXTS)
def test_vectors_have_a_form_that_the_engine_takes(text: str) -> None:
    sent = made(text).vectors(seen(0))
    assert sent.shape in {(D,), (ATTACKERS, D)}
    assert sent.dtype == torch.float32
    assert bool(torch.isfinite(sent).all()) is not text.startswith("nan")


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_sent_and_known_share_no_memory(text: str) -> None:
    attack = made(text)
    for step in range(5):
        knowledge = seen(step)
        before = knowledge.known.clone()
        sent = attack.vectors(knowledge)
        assert torch.equal(knowledge.known, before)
        kept = {name: tensor.clone() for name, tensor in attack.state().items()}
        sent.fill_(7.0)
        assert torch.equal(knowledge.known, before)
        knowledge.known.fill_(8.0)
        for name, tensor in attack.state().items():
            assert torch.equal(
                tensor,
                kept[name],
            ), name
            tensor.fill_(9)
        assert all(torch.equal(tensor, kept[name]) for name, tensor in attack.state().items())


@pytest.mark.parametrize("text", TEXTS)
def test_the_generator_decides_every_draw(text: str) -> None:
    one, other = made(text), made(text)
    torch.manual_seed(1)
    first = [one.vectors(seen(step)) for step in range(6)]
    torch.manual_seed(2)
    second = [other.vectors(seen(step)) for step in range(6)]
    for left, right in zip(first, second, strict=True):
        assert torch.equal(left.view(torch.int32), right.view(torch.int32))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("attacks", [True, False])
def test_a_restored_attack_goes_on_bit_by_bit(text: str, attacks: bool) -> None:
    whole, resumed = made(text), made(text)
    for step in range(4):
        whole.vectors(seen(step)) if attacks else whole.observe(seen(step))
    resumed.restore({name: tensor.clone() for name, tensor in whole.state().items()})
    for step in range(4, 8):
        left, right = whole.vectors(seen(step)), resumed.vectors(seen(step))
        assert torch.equal(left.view(torch.int32), right.view(torch.int32))
    assert whole.state().keys() == resumed.state().keys()


@pytest.mark.parametrize("text", TEXTS)
def test_a_fresh_state_restores_to_a_fresh_attack(text: str) -> None:
    fresh, used = made(text), made(text)
    state = fresh.state()
    for step in range(4):
        used.vectors(seen(step))
    used.restore(state)
    assert torch.equal(fresh.vectors(seen(0)).view(torch.int32), used.vectors(seen(0)).view(torch.int32))
