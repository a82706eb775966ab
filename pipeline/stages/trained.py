"""A trained model that others describe: its configuration as text, and whether a task fits it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig

from btard.errors import UserError
from btard.pipeline.stages.family import Family, families, family_of
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.partition import read_cut, read_stage
from btard.tasks.classes import ClassesTask
from btard.tasks.text import TextTask


def write_config(config: PretrainedConfig) -> str:
    """Return a configuration as JSON in one line: what models of its family have."""
    told = _known(config, config.to_diff_dict())
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def config_facts(config: PretrainedConfig) -> dict[str, Any]:
    """Return all that a configuration says of a model of its family, defaults included, as JSON has it."""
    told: dict[str, Any] = json.loads(json.dumps(_known(config, config.to_dict())))
    return told


def _known(config: PretrainedConfig, told: Mapping[str, Any]) -> dict[str, Any]:
    names = _names(family_of(config))
    return {name: value for name, value in told.items() if name in names and name != "transformers_version"}


def _names(family: Family) -> frozenset[str]:
    """Return what a configuration may say. Whatever else transformers reads there, such as which code of the Hub
    computes attention, is not for strangers to choose."""
    declared = {field.name for field in fields(family.architecture.config_class)}
    return frozenset(declared | family.tiny(2, 1, 2).to_diff_dict().keys())


def config_of(told: object, blocks: int) -> PretrainedConfig:
    """Return the configuration that a stranger describes.

    Args:
        told: what `config_facts` has returned, or anything.
        blocks: how many the model must have.

    Raises:
        ValueError: it is no configuration of a model that can be cut.
    """
    kind = told.get("model_type") if isinstance(told, dict) else None
    if not isinstance(told, dict) or kind not in families():
        raise ValueError(f"models of type {kind!r} are not cut into stages")
    family = families()[kind]
    if strange := sorted(told.keys() - _names(family)):
        raise ValueError(f"it says {strange[0]!r}, which no model of the family {kind} has")
    try:
        config: PretrainedConfig = family.architecture.config_class.from_dict(told)
        depth = family.depth(config)
    except Exception as error:  # whatever transformers makes of values that are no model's
        raise ValueError(str(error)) from None
    if depth != blocks:
        raise ValueError(f"it has {depth} blocks, and not {blocks}")
    return config


def read_config(family: str, text: str, blocks: int) -> PretrainedConfig:
    """Read the configuration of a model that can be built, as `write_config` writes it.

    Args:
        family: as `families` names it.
        text: JSON, which may be anybody's.
        blocks: how many the model must have.

    Raises:
        UserError: it is none of such a model.
    """
    try:
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("model_type") != family:
            raise ValueError(f"it is no model of the family {family}")
        config = config_of(told, blocks)
        families()[family].outline(config)
    except Exception as error:  # whatever transformers makes of numbers that are no model's
        raise UserError(f"the configuration of the run's model is of no use: {error}") from None
    return config


def check_task_fits(config: PretrainedConfig, task: TextTask | ClassesTask) -> None:
    """Check that a model has a place for each token, position and class of a task's samples.

    Raises:
        UserError: it has too few; the sentence says what would do.
    """
    tokens, sequence = task.vocabulary_size, int(task.evaluation_batch().tensors["input_ids"].shape[1])
    if tokens > config.vocab_size:
        raise UserError(
            f"the data have {tokens} tokens, but the model knows {config.vocab_size}; give the --tokenizer that the "
            "model was trained with"
        )
    if isinstance(task, ClassesTask) and config.num_labels != task.classes:
        raise UserError(f"the data have {task.classes} classes, but the model tells {config.num_labels} apart")
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and sequence > positions:
        raise UserError(
            f"samples have {sequence} tokens, but the model has {positions} positions; take a task of shorter samples"
        )


def read_trained(folder: Path) -> tuple[Cut, dict[str, torch.Tensor]]:
    """Read a model from a folder of `btard pipeline partition`, whole: its cut, and all weights by name, float32.

    Raises:
        UserError: the folder is damaged, or its model has dropout.
    """
    cut, state = read_cut(folder), dict[str, torch.Tensor]()
    for stage in range(cut.stages):
        state |= read_stage(folder, stage)
    return cut, state
