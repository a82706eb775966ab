"""The last states of a run that went on from a trained model, put together to a model as `transformers` keeps it."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError

from btard.errors import UserError
from btard.pipeline.seats.stage_state import weights_of
from btard.pipeline.stages.model_stage import Cut, stage_names
from btard.pipeline.stages.partition import stage_file
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import read_config
from btard.pipeline.stages.weights import check_new_folder
from btard.swarm.manifest import RunManifest


def merge_run(directory: Path, out: Path) -> Path:
    """Write the model that a run has trained into a folder, and return the folder of the states that it is made of.

    Args:
        directory: of the run's coordinator.
        out: new or empty.

    Raises:
        UserError: the directory has no such run, or not all states of its end; or `out` cannot be written.
    """
    check_new_folder(out)
    cut, states = _cut(directory), _last_states(directory)
    weights: dict[str, torch.Tensor] = {}
    for stage in range(cut.stages):
        path = states / stage_file(stage)
        try:
            own = weights_of(path.read_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        for name in stage_names(cut, stage):
            if name not in own or own[name].shape != cut.shapes[name]:
                raise UserError(f"{path} is damaged: it has no {name} of the right shape")
            weights[name] = own[name]
    model = cut.family.architecture(cut.config)
    model.load_state_dict(weights)
    try:
        model.save_pretrained(out)
    except OSError as error:
        raise UserError(f"--out is {out}, which cannot be written: {error.strerror}") from None
    return states


def _cut(directory: Path) -> Cut:
    path = directory / "manifest.json"
    try:
        terms = RunManifest.model_validate_json(path.read_bytes()).pipeline
    except (OSError, ValidationError):
        raise UserError(f"{path} is no manifest; give the --directory of a run's coordinator") from None
    if terms is None or terms.model is None:
        raise UserError(f"the run in {directory} did not go on from a trained model, so there is none to be written")
    return Cut(read_config(terms.family, terms.model.config, sum(terms.blocks)), Split(terms.blocks))


def _last_states(directory: Path) -> Path:
    found = list((directory / "checkpoints").glob("step-*"))
    if not found:
        raise UserError(f"{directory} holds no checkpoints yet; a run in stages writes them at its end")
    return max(found, key=lambda folder: (len(folder.name), folder.name))  # numbers may outgrow their leading zeros
