"""A peer's stage lies in the steps that its settings say."""

from __future__ import annotations

import pytest
import torch

from btard.byzantine.settings import BehaviourSettings, LieName, StageLies
from btard.errors import UserError
from btard.identity import IdentityKey
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StagePlace
from btard.pipeline.defence.scheduled import stage_behaviour

PEER = IdentityKey.from_seed(bytes(32)).peer_id
TENSOR = torch.arange(6.0)


def test_a_stage_lies_from_its_first_step_on() -> None:
    lies = StageLies(forward_attack=LieName.REVERSE)
    behaviour = stage_behaviour(BehaviourSettings(attack_start=3, attack_every=2), lies, PEER)
    lied = [not torch.equal(behaviour.activation(StagePlace(step, 0, 4, 1), TENSOR), TENSOR) for step in range(7)]
    assert lied == [False, False, False, True, False, True, False]
    assert torch.equal(behaviour.activation(StagePlace(3, 1, 4, 1), TENSOR), -TENSOR), "also when a step is done anew"
    assert torch.equal(behaviour.gradient(StagePlace(3, 0, 4, 1), TENSOR), TENSOR)


def test_gradients_may_be_lied_about_alone() -> None:
    lies = StageLies(backward_attack=LieName.NOISE)
    behaviour = stage_behaviour(BehaviourSettings(attack_start=0), lies, PEER)
    place = StagePlace(0, 0, 4, 1)
    assert torch.equal(behaviour.activation(place, TENSOR), TENSOR)
    assert not torch.equal(behaviour.gradient(place, TENSOR), TENSOR)


def test_most_stages_are_honest() -> None:
    assert stage_behaviour(BehaviourSettings(), StageLies(), PEER) is HONEST


def test_an_attack_on_averages_is_refused_where_none_are_made() -> None:
    attack = BehaviourSettings(attack_type="SIGN_FLIPPING")
    with pytest.raises(UserError, match="ATTACK_TYPE is SIGN_FLIPPING, but the run is one pipeline whose stages"):
        stage_behaviour(attack, StageLies(), PEER)
    assert stage_behaviour(attack, StageLies(), PEER, averages=True) is HONEST
