"""Tiny models of every family, for tests."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig

from btard.pipeline.stages.family import families
from btard.tasks.base import Batch
from btard.tasks.randomness import seeded_torch

VOCABULARY, SEQUENCE = 29, 12
FAMILIES = ("gpt2", "opt", "bloom", "deberta-v2")


def tiny_config(name: str, *, blocks: int = 4, tie: bool = False) -> PretrainedConfig:
    config = families()[name].tiny(VOCABULARY, blocks, SEQUENCE)
    config.tie_word_embeddings = tie
    return config


def tiny_state(config: PretrainedConfig, seed: int = 1) -> dict[str, torch.Tensor]:
    with seeded_torch(seed, torch.device("cpu")):
        return families()[config.model_type].fresh_state(config)


def tiny_batch(name: str, seed: int, samples: int = 2) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, VOCABULARY, (samples, SEQUENCE), generator=draw)
    labels = torch.randint(0, 2, (samples,), generator=draw) if name == "deberta-v2" else tokens.clone()
    return Batch({"input_ids": tokens, "labels": labels}, samples)
