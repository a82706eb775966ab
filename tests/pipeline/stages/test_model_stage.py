"""Stages together compute what the whole model of transformers computes."""

from __future__ import annotations

import pytest
import torch

from btard.errors import UserError
from btard.pipeline.stages.family import families, family_of
from btard.pipeline.stages.model_stage import ActivationCheck, Cut, ModelStage, stage_names, tied_names
from btard.pipeline.stages.split import Split
from tests.pipeline.tiny import FAMILIES, tiny_batch, tiny_config, tiny_state

CUTS = ("4", "1-3", "2-1-1")


@pytest.mark.parametrize("split", CUTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_stages_compute_the_loss_of_the_whole_model(name: str, split: str) -> None:
    config = tiny_config(name)
    state, batch = tiny_state(config), tiny_batch(name, 7)
    cut = Cut(config, Split.parse(split))
    hidden = None
    for number in range(cut.stages):
        hidden = ModelStage(cut, number, state)(batch, hidden)
    whole = families()[name].construct(config)
    whole.load_state_dict(state)
    expected = whole(**batch.tensors).loss
    assert hidden is not None and torch.equal(hidden, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_weight_lives_in_a_stage(name: str) -> None:
    config = tiny_config(name)
    cut = Cut(config, Split.parse("2-1-1"))
    held = [set(stage_names(cut, stage)) for stage in range(3)]
    assert set().union(*held) == tiny_state(config).keys()
    shared = set(tied_names(cut))
    assert all(one & other <= shared for one in held for other in held if one is not other)
    for stage, names in enumerate(held):
        assert ModelStage(cut, stage, tiny_state(config)).weights().keys() == names


def test_ties_name_every_copy_in_the_order_of_stages() -> None:
    gpt = tied_names(Cut(tiny_config("gpt2", tie=True), Split.parse("2-2")))
    assert gpt == {"transformer.wte.weight": ((0, "transformer.wte.weight"), (1, "lm_head.weight"))}
    assert tied_names(Cut(tiny_config("gpt2"), Split.parse("2-2"))) == {}
    relative = tied_names(Cut(tiny_config("deberta-v2"), Split.parse("2-1-1")))
    assert relative["deberta.encoder.rel_embeddings.weight"] == tuple(
        (stage, "deberta.encoder.rel_embeddings.weight") for stage in range(3)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_dropout_is_refused_where_bits_are_compared(name: str) -> None:
    config = tiny_config(name)
    setattr(config, family_of(config).dropouts[0], 0.1)
    split = Split.parse("2-2")
    with pytest.raises(UserError, match="dropout"):
        Cut(config, split)
    Cut(config, split, ActivationCheck.TOLERANT)
    Cut(family_of(config).without_dropout(config), split)


def test_a_split_of_another_depth_is_refused() -> None:
    with pytest.raises(UserError, match="the model has 4"):
        Cut(tiny_config("gpt2"), Split.parse("2-1"))


def test_weights_of_another_model_are_refused() -> None:
    cut = Cut(tiny_config("gpt2"), Split.parse("2-2"))
    state = tiny_state(tiny_config("gpt2"))
    with pytest.raises(UserError, match="lack"):
        ModelStage(cut, 1, {name: state[name] for name in stage_names(cut, 0)})
    state["transformer.ln_f.weight"] = torch.zeros(3)
    with pytest.raises(UserError, match="another model"):
        ModelStage(cut, 1, state)


def test_a_model_that_cannot_be_cut_is_refused() -> None:
    from transformers import BertConfig

    with pytest.raises(UserError, match="'bert' cannot be cut"):
        family_of(BertConfig())
