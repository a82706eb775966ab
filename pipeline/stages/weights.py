"""Where a model's weights come from: a folder of Hugging Face, or a seed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig
from transformers.utils import logging

from btard.errors import UserError
from btard.pipeline.stages.family import family_of
from btard.tasks.data.files import exists
from btard.tasks.randomness import seeded_torch


@contextmanager
def unsaid() -> Iterator[None]:
    """Inside, transformers says nothing of what it reads: errors are raised, and are told in a sentence."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def read_config_file(folder: Path) -> PretrainedConfig:
    """Return the configuration of a model in a folder; raises UserError where there is none that can be cut."""
    if not exists(folder / "config.json"):
        raise UserError(
            f"{folder} holds no config.json; name a folder with a model of Hugging Face, or OWNER/NAME on the Hub"
        )
    try:
        with unsaid():
            config: PretrainedConfig = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # whatever transformers makes of what is no configuration
        raise UserError(f"{folder / 'config.json'} is of no use: {error}") from None
    if (depth := family_of(config).depth(config)) < 1:
        raise UserError(f"{folder / 'config.json'} is of no use: a model has at least one block, not {depth}")
    return config


def read_model(folder: Path) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
    """Return configuration and weights of a model in a folder that `save_pretrained` or the Hub has made.

    Returns:
        The configuration as it is, dropout included; every weight by its name, float32, copies of tied ones too.

    Raises:
        UserError: the folder holds no model that can be cut, or not all of its weights.
    """
    config = read_config_file(folder)
    family = family_of(config)
    try:
        with unsaid():
            model, found = family.architecture.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in one sentence
            )
    except Exception as error:  # whatever transformers makes of a damaged file
        raise UserError(f"{folder} holds no model that can be read: {error}") from None
    if mismatched := sorted(found["mismatched_keys"]):
        name, kept, wanted = mismatched[0]
        raise UserError(
            f"the weight {name} has shape {tuple(kept)} in {folder}, but config.json asks for {tuple(wanted)}"
        )
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
