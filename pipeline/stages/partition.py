"""A model on the disk in stages: `config.json`, one file of weights a stage, and a manifest with their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from btard.durable import write_durably
from btard.errors import UserError
from btard.hashing import digest
from btard.hexadecimal import HexDigest
from btard.pipeline.stages.model_stage import ActivationCheck, Cut, stage_names
from btard.pipeline.stages.split import MAX_BLOCKS, MAX_STAGES, Split
from btard.pipeline.stages.weights import read_config_file

MANIFEST = "stages.json"
MOST_MANIFEST_BYTES = 1 << 20


class StageFile(BaseModel):
    """A stage's weights.

    Attributes:
        file: its name in the folder.
        size: bytes.
        digest: BLAKE3, in hex.
        weights: how many numbers it holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Annotated[str, Field(pattern=r"^stage-[0-9]{4}\.safetensors$")]
    size: Annotated[int, Field(ge=1)]
    digest: HexDigest
    weights: Annotated[int, Field(ge=0)]


class PartitionManifest(BaseModel):
    """What a folder of stages holds.

    Attributes:
        version: of this form.
        blocks: the split.
        config: BLAKE3 of `config.json`, in hex.
        stages: their files, first stage first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1, le=1)] = 1
    blocks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_BLOCKS)], ...], Field(min_length=1, max_length=MAX_STAGES)
    ]
    config: HexDigest
    stages: Annotated[tuple[StageFile, ...], Field(min_length=1, max_length=MAX_STAGES)]


def stage_file(stage: int) -> str:
    """Return the name of the file that holds a stage, in any folder of stages."""
    return f"stage-{stage:04}.safetensors"


def write_partition(cut: Cut, state: Mapping[str, torch.Tensor], folder: Path) -> PartitionManifest:
    """Write every stage's weights, then the manifest: a folder that has one is whole.

    Args:
        cut: the model and its stages.
        state: all weights.
        folder: is made if it is not there.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = (json.dumps(cut.config.to_dict(), indent=1, sort_keys=True) + "\n").encode()
    write_durably(folder / "config.json", config)
    files = tuple(_write_stage(cut, stage, state, folder) for stage in range(cut.stages))
    manifest = PartitionManifest(blocks=cut.split.blocks, config=digest(config).hex(), stages=files)
    write_durably(folder / MANIFEST, (manifest.model_dump_json(indent=1) + "\n").encode())
    return manifest


def _write_stage(cut: Cut, stage: int, state: Mapping[str, torch.Tensor], folder: Path) -> StageFile:
    own = {name: state[name].detach().to(torch.float32).clone().contiguous() for name in stage_names(cut, stage)}
    data, name = save(own), stage_file(stage)
    write_durably(folder / name, data)
    numbers = sum(tensor.numel() for tensor in own.values())
    return StageFile(file=name, size=len(data), digest=digest(data).hex(), weights=numbers)


def read_manifest(folder: Path) -> PartitionManifest:
    """Read a folder's manifest.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise UserError(f"{path} has more than {MOST_MANIFEST_BYTES} bytes, as no manifest of stages has")
        manifest = PartitionManifest.model_validate_json(path.read_bytes())
    except OSError:
        raise UserError(f"{folder} holds no {MANIFEST}; btard pipeline partition writes one") from None
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {error.errors()[0]['msg']}") from None
    if len(manifest.blocks) != len(manifest.stages):
        raise UserError(f"{path} is damaged: {len(manifest.blocks)} stages in its split, {len(manifest.stages)} files")
    return manifest


def read_cut(folder: Path, check: ActivationCheck = ActivationCheck.EXACT) -> Cut:
    """Read which model a folder holds, and how it is cut.

    Raises:
        UserError: the folder is damaged, or its model has dropout although activations are compared exactly.
    """
    manifest = read_manifest(folder)
    _checked(folder / "config.json", manifest.config)
    return Cut(read_config_file(folder), Split(manifest.blocks), check)


def read_stage(folder: Path, stage: int) -> dict[str, torch.Tensor]:
    """Read the weights of one stage, float32 by name.

    Raises:
        UserError: there is no such stage, or its file is damaged.
    """
    manifest = read_manifest(folder)
    if not 0 <= stage < len(manifest.stages):
        raise UserError(f"{folder} holds the stages 0 to {len(manifest.stages) - 1}, and no stage {stage}")
    told = manifest.stages[stage]
    path = folder / told.file
    try:
        return dict(load(_checked(path, told.digest)))
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _checked(path: Path, wanted: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if digest(data).hex() != wanted:
        raise UserError(f"{path} is damaged: its digest is not the one in {MANIFEST}")
    return data
