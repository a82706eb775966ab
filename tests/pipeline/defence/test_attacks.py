"""How stages lie."""

from __future__ import annotations

import torch

from btard.pipeline.defence.attacks import HONEST, MessageLie, StageAttack
from btard.pipeline.defence.behaviour import StagePlace
from btard.pipeline.defence.behaviours import WithinCheck
from btard.pipeline.defence.comparison import ComputationCheck

HONEST_VALUES = torch.linspace(-1, 1, 1000)


def test_one_middle_stage_lies_at_the_rate() -> None:
    attack = StageAttack(0.7, MessageLie.REVERSE)
    liars = [attack.liar(step, 6) for step in range(2000)]
    assert set(liars) == {None, 1, 2, 3, 4}
    assert 0.66 < sum(liar is not None for liar in liars) / 2000 < 0.74
    assert all(liars.count(stage) > 250 for stage in range(1, 5))
    assert StageAttack(1.0).liar(0, 2) is None and HONEST.liar(3, 6) is None


def test_only_the_liar_lies_and_the_same_way_again() -> None:
    for lie in MessageLie:
        attack = StageAttack(1.0, lie, lie)
        liar = attack.liar(5, 6)
        assert liar is not None
        said = attack.activation(StagePlace(5, 0, 6, liar), HONEST_VALUES)
        assert not torch.equal(said, HONEST_VALUES) and said.shape == HONEST_VALUES.shape
        assert torch.equal(said, attack.activation(StagePlace(5, 0, 6, liar), HONEST_VALUES))
        assert attack.activation(StagePlace(5, 0, 6, liar % 4 + 1), HONEST_VALUES) is HONEST_VALUES
        assert not torch.equal(attack.gradient(StagePlace(5, 0, 6, liar), HONEST_VALUES), HONEST_VALUES)


def test_lies_are_what_their_names_say() -> None:
    said = {}
    for lie in MessageLie:
        attack = StageAttack(1.0, lie)
        liar = attack.liar(0, 3)
        assert liar == 1
        said[lie] = attack.activation(StagePlace(0, 0, 3, 1), HONEST_VALUES)
    assert torch.equal(said[MessageLie.REVERSE], -HONEST_VALUES)
    assert said[MessageLie.RANDOM].min() >= 0 and said[MessageLie.RANDOM].max() < 1
    assert 0.9 < float(said[MessageLie.NOISE].std()) < 1.1
    moved = said[MessageLie.DRIFT] - HONEST_VALUES
    assert torch.allclose(moved, 0.05 * HONEST_VALUES.std().expand(1000), atol=1e-6)


def test_backward_lies_leave_activations_alone() -> None:
    attack = StageAttack(1.0, backward=MessageLie.NOISE)
    assert attack.activation(StagePlace(0, 0, 3, 1), HONEST_VALUES) is HONEST_VALUES


def test_a_granted_lie_passes_and_outlives_layer_norms() -> None:
    honest = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(1))
    place = StagePlace(step=0, attempt=0, stages=4, stage=2)
    said = WithinCheck(0.1).activation(place, honest)
    assert ComputationCheck(relative_error=0.1).same(honest, said)
    assert not ComputationCheck(relative_error=0.09).same(honest, said)
    norms = [torch.nn.functional.layer_norm(values, (32,)) for values in (honest, said)]
    assert float((norms[0] - norms[1]).norm()) > 0.05 * float(norms[0].norm())
