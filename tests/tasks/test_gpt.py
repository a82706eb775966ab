from pathlib import Path

import numpy as np
import torch

from btard.tasks.base import DataRequest
from btard.tasks.data.spec import DataSpec
from btard.tasks.gpt import GptTask
from btard.tasks.settings import TaskSettings
from btard.tasks.training_state import TrainingState
from tests.tasks.helpers import seed_of


def test_batches_are_samples_of_the_training_part(gpt: GptTask) -> None:
    batch = gpt.batch(seed_of(1), 32)
    assert batch.tensors["input_ids"].shape == (32, 64)
    assert torch.equal(batch.tensors["input_ids"], batch.tensors["labels"])
    training = {row.tobytes() for row in np.asarray(gpt.corpus.tokens[: gpt.corpus.training_samples], dtype=np.int64)}
    assert all(row.numpy().tobytes() in training for row in batch.tensors["input_ids"])


def test_batches_decode_to_the_corpus(gpt: GptTask, corpus_file: Path) -> None:
    text = gpt.decode(gpt.batch(seed_of(2), 1).tensors["input_ids"][0].tolist())
    assert len(text) == 64
    assert text in corpus_file.read_text()


def test_label_flipping_moves_every_token_by_one(gpt: GptTask) -> None:
    batch = gpt.batch(seed_of(1), 4)
    flipped = gpt.label_flipped(batch).tensors["labels"]
    assert torch.equal(flipped, (batch.tensors["labels"] + 1) % gpt.corpus.meta.vocabulary_size)


def test_the_loss_is_the_next_token_s(gpt: GptTask) -> None:
    model, batch = gpt.build_model(1).eval(), gpt.batch(seed_of(1), 2)
    logits = model(input_ids=batch.tensors["input_ids"]).logits.log_softmax(-1)
    by_hand = [-logits[row, at, batch.tensors["labels"][row, at + 1]] for row in range(2) for at in range(63)]
    torch.testing.assert_close(gpt.loss(model, batch, seed_of(1)), torch.stack(by_hand).mean())


def test_it_learns_shakespeare(cache_dir: Path) -> None:
    state = TrainingState(GptTask.load("tiny", TaskSettings(), DataRequest(cache_dir=cache_dir)), seed=1)
    assert 4.2 < state.evaluate() < 4.7
    for step in range(60):
        gradient, _ = state.gradient(state.task.batch(seed_of(step), 16), seed_of(step), 1.0)
        state.apply(gradient)
    assert state.evaluate() < 3.0


def test_the_small_size_is_gpt_2_small(corpus_spec: DataSpec, cache_dir: Path) -> None:
    task = GptTask.load("small", TaskSettings(), DataRequest(corpus_spec, cache_dir))
    assert task.corpus.meta.sample_tokens == 512
    config = task.config()
    assert (config.n_layer, config.n_embd, config.n_head) == (12, 768, 12)
    with torch.device("meta"):
        model = task._construct_model()
    blocks = sum(parameter.numel() for name, parameter in model.named_parameters() if ".h." in name)
    assert blocks == 85_054_464
