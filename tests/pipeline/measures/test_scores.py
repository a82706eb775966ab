from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from btard.pipeline.measures import scores
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import IGNORED_LABEL, Batch
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_of_classes_are_those_of_scikit_learn(classes: int) -> None:
    draw = np.random.default_rng(classes)
    wanted = draw.integers(0, classes, 400)
    said = np.where(draw.random(400) < 0.6, wanted, draw.integers(0, classes, 400))
    table = scores.confusion(wanted, said)
    assert scores.accuracy(table) == pytest.approx(accuracy_score(wanted, said))
    assert scores.matthews(table) == pytest.approx(matthews_corrcoef(wanted, said))
    average = "binary" if classes == 2 else "macro"
    assert scores.f1(table) == pytest.approx(f1_score(wanted, said, average=average))


def test_one_answer_for_all_has_no_correlation() -> None:
    table = scores.confusion(np.array([0, 1, 1, 0]), np.zeros(4, dtype=np.int64))
    assert scores.matthews(table) == 0.0 and scores.f1(table) == 0.0 and scores.accuracy(table) == 0.5


def test_each_sequence_counts_alike_whatever_its_length() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(2))
    labels[1, 3:] = IGNORED_LABEL
    logarithms = torch.log_softmax(logits, dim=2)
    first = -sum(float(logarithms[0, place, labels[0, place + 1]]) for place in range(4)) / 4
    second = -sum(float(logarithms[1, place, labels[1, place + 1]]) for place in range(2)) / 2
    assert scores.sequence_losses(logits, labels).tolist() == pytest.approx([first, second])


@pytest.mark.parametrize("family", ["gpt2", "opt", "bloom", "deberta-v2"])
def test_stages_in_a_row_have_the_loss_of_the_model(family: str) -> None:
    config = tiny_config(family)
    state, batch = tiny_state(config), tiny_batch(family, 3, samples=6)
    whole, parts = (
        [ModelStage(Cut(config, split), number, state) for number in range(split.stages)]
        for split in (Split((4,)), Split((1, 2, 1)))
    )
    found = scores.held_out_scores(parts, [batch])
    assert found.loss == pytest.approx(whole[0](batch, None).item(), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert (found.matthews is None) == (family != "deberta-v2")
    halves = [
        Batch({name: tensor[part] for name, tensor in batch.tensors.items()}, 3) for part in (slice(3), slice(3, 6))
    ]
    assert scores.held_out_scores(parts, halves).loss == pytest.approx(found.loss, rel=1e-5)


def test_a_loss_beyond_all_bounds_is_an_infinite_perplexity() -> None:
    assert scores.HeldOutScores(1e4).perplexity == math.inf
