from pathlib import Path

import numpy as np
import torch

from btard.tasks.albert import AlbertTask
from btard.tasks.base import IGNORED_LABEL, DataRequest
from btard.tasks.data.spec import DataSpec
from btard.tasks.settings import TaskSettings
from tests.tasks.helpers import seed_of, trained


def test_a_sample_is_two_marked_segments(albert: AlbertTask) -> None:
    start, separator = (albert.corpus.tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    batch = albert.batch(seed_of(1), 64)
    for tokens, segments in zip(batch.tensors["input_ids"], batch.tensors["token_type_ids"], strict=True):
        assert tokens[0] == start
        assert tokens[-1] == separator
        assert (tokens == separator).sum() == 2
        first_end = int((tokens == separator).nonzero()[0])
        assert segments.tolist() == [0] * (first_end + 1) + [1] * (63 - first_end)
        assert 15 <= first_end <= 47


def test_masking_is_15_percent_and_80_10_10(albert: AlbertTask) -> None:
    batch = albert.batch(seed_of(1), 2_000)
    inputs, labels = batch.tensors["input_ids"], batch.tensors["labels"]
    masked = labels != IGNORED_LABEL
    assert masked.sum(1).unique().tolist() == [round(0.15 * 61)]
    mask = albert.corpus.tokenizer.token_to_id("[MASK]")
    as_mask = (inputs[masked] == mask).float().mean()
    kept = (inputs[masked] == labels[masked]).float().mean()
    assert abs(as_mask - 0.8) < 0.01
    assert abs(kept - 0.1) < 0.01
    assert not (inputs[~masked] == mask).any()
    assert not (labels[masked] < 5).any()
    assert not (inputs[masked & (inputs != mask)] < 5).any()


def test_masked_positions_are_spread_over_the_sample(albert: AlbertTask) -> None:
    counts = (albert.batch(seed_of(1), 2_000).tensors["labels"] != IGNORED_LABEL).float().mean(0)[1:-1]
    assert 0.10 < counts.min() < counts.max() < 0.19


def test_half_of_the_pairs_are_swapped_back_to_the_corpus(albert: AlbertTask) -> None:
    batch = albert.batch(seed_of(1), 400)
    labels, order = batch.tensors["labels"], batch.tensors["sentence_order_label"]
    assert 160 < int(order.sum()) < 240
    training = {row.tobytes() for row in np.asarray(albert.corpus.tokens, dtype=np.int64)}
    tokens = torch.where(labels == IGNORED_LABEL, batch.tensors["input_ids"], labels)
    separator = albert.corpus.tokenizer.token_to_id("[SEP]")
    for row, swapped in zip(tokens, order, strict=True):
        middle = int((row == separator).nonzero()[0])
        segments = [row[1:middle], row[middle + 1 : -1]]
        if swapped:
            segments.reverse()
        assert torch.cat(segments).numpy().tobytes() in training


def test_label_flipping_inverts_tokens_and_sentence_order(albert: AlbertTask) -> None:
    batch = albert.batch(seed_of(1), 16)
    flipped = albert.label_flipped(batch)
    labels, wrong = batch.tensors["labels"], flipped.tensors["labels"]
    counts = labels != IGNORED_LABEL
    assert torch.equal(wrong[~counts], labels[~counts])
    assert torch.equal(wrong[counts], (labels[counts] + 1) % albert.corpus.meta.vocabulary_size)
    assert torch.equal(flipped.tensors["sentence_order_label"], 1 - batch.tensors["sentence_order_label"])


def test_training_lowers_the_loss(albert: AlbertTask) -> None:
    before = trained(albert, 0).evaluate()
    assert trained(albert, 60, batch_size=8).evaluate() < before - 0.5


def test_the_large_size_is_albert_large(corpus_spec: DataSpec, cache_dir: Path) -> None:
    task = AlbertTask.load("large", TaskSettings(), DataRequest(corpus_spec, cache_dir))
    config = task.config()
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (24, 1024, 16)
    assert (config.embedding_size, config.intermediate_size, config.max_position_embeddings) == (128, 4096, 512)
    assert task.batch(seed_of(1), 2).tensors["input_ids"].shape == (2, 512)
    assert (task.schedule.learning_rate, task.schedule.warmup_steps, task.schedule.total_steps) == (
        1.76e-3,
        5000,
        10**6,
    )
