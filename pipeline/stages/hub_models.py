"""Trained models by what a user types: a folder, or a name on the Hub, of which configuration and weights are fetched.

Weights are taken as safetensors alone: nothing that comes from the Hub is unpickled or run.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from btard.errors import UserError
from btard.tasks.data.files import exists
from btard.tasks.data.hub import Hub, HuggingFaceHub, RepositoryKind
from btard.tasks.data.names import is_hub_name, is_revision
from btard.tasks.data.spec import HUB_PREFIX

_CONFIG, _WHOLE, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors")

MODELS: Hub = HuggingFaceHub(RepositoryKind.MODEL)


@dataclass(frozen=True)
class FoundModel:
    """A model on this machine.

    Attributes:
        folder: with its configuration and weights.
        told: the folder, or the name on the Hub with the commit that it was fetched at.
    """

    folder: Path
    told: str


def find_model(text: str) -> FoundModel:
    """Return the model that a user names: a path, or `[hub:]OWNER/NAME[@COMMIT]`, fetched if need be.

    An existing path wins over a name on the Hub, unless `hub:` says what is meant: that is never a path.

    Raises:
        UserError: it is neither, or the Hub has no such model, or none with safetensors.
    """
    asked = text.startswith(HUB_PREFIX)
    name, at, revision = text.removeprefix(HUB_PREFIX).partition("@")
    if not asked and (exists(Path(text)) or not is_hub_name(name)):
        return FoundModel(Path(text), text)
    if not is_hub_name(name) or (at and not is_revision(revision)):
        raise UserError(f"the model is {text!r}, but must be a folder or [hub:]OWNER/NAME[@COMMIT of 40 hex digits]")
    try:
        known = MODELS.listing(name, revision or None, signed_in=True)  # the owner of this machine has named it
    except UserError as error:
        raise UserError(str(error) if asked else f"there is no folder {text} here, and {error}") from None
    files = _chosen(known.sizes, name)
    paths = MODELS.fetch(name, known.revision, files, signed_in=True)
    return FoundModel(paths[0].parent, f"{name}@{known.revision}")


def _chosen(files: Collection[str], name: str) -> list[str]:
    """Return the configuration and the files of weights, those of one form."""
    if _CONFIG not in files:
        raise UserError(f"{name} on the Hub has no {_CONFIG}: it is no model that can be cut into stages")
    if _WHOLE in files:
        return [_CONFIG, _WHOLE]
    shards = sorted(file for file in files if _SHARD.fullmatch(file))
    if _INDEX not in files or not shards:
        raise UserError(f"{name} on the Hub has no weights as safetensors; save it as such, and name its folder")
    return [_CONFIG, _INDEX, *shards]
