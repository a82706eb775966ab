"""Where a model's weights come from: a folder of Hugging Face, or a seed."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig

from btard.errors import UserError
from btard.pipeline.stages.family import family_of
from btard.tasks.randomness import seeded_torch


def read_model(folder: Path) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
    """Return configuration and weights of a model in a folder that `save_pretrained` or the Hub has made.

    Returns:
        The configuration as it is, dropout included; every weight by its name, float32, copies of tied ones too.

    Raises:
        UserError: the folder holds no model that can be cut, or not all of its weights.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json; a folder with a model of Hugging Face is needed")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        family = family_of(config)
        model, found = family.architecture.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{folder} holds no model that can be read: {error}") from None
    ties = family.ties(config)
    if missing := sorted(set(found["missing_keys"]) - ties.keys()):
        raise UserError(f"{folder} lacks the weight {missing[0]}, and {len(missing) - 1} others")
    state = dict(model.state_dict())
    for copied, original in ties.items():
        state[copied] = state[original]
    return config, state


def draw_weights(config: PretrainedConfig, seed: int) -> dict[str, torch.Tensor]:
    """Return the weights of a new model: every weight by its name, float32, the same for the same seed."""
    with seeded_torch(seed, torch.device("cpu")):
        return family_of(config).fresh_state(config)


def check_new_folder(folder: Path) -> None:
    """Check that a folder can be made, or is empty.

    Raises:
        UserError: there is something already, or no place for it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already; give a folder that is new or empty")
    parent = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not os.access(parent, os.W_OK):
        raise UserError(f"{folder} cannot be made: {parent} cannot be written to")
