"""The state that a run goes on from, as a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from btard.durable import durable_file
from btard.errors import UserError

_VERSION = 2
_NAME = re.compile(r"checkpoint-(\d+)\.pt")


def save(directory: Path, state: dict[str, Any], settings_digest: str) -> Path:
    """Write a checkpoint as `checkpoint-STEP.pt`, whole or not at all, and return its path."""
    path = directory / f"checkpoint-{state['training']['step']}.pt"
    with durable_file(path) as file:  # workers' vectors may be more than memory holds
        torch.save({"version": _VERSION, "settings": settings_digest, "state": state}, file)
    return path


def newest(directory: Path) -> Path | None:
    """Return the checkpoint of the latest step, or None."""
    found = {int(match[1]): path for path in directory.glob("*.pt") if (match := _NAME.fullmatch(path.name))}
    return found[max(found)] if found else None


def load(path: Path, settings_digest: str) -> dict[str, Any]:
    """Return the state in a checkpoint; its tensors are pages of the file, which are read when they are looked at.

    Raises:
        UserError: it cannot be read, or is one of an experiment with other settings.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        version, settings, state = found["version"], found["settings"], found["state"]
    except Exception as error:  # torch raises whatever its readers do
        raise UserError(f"the checkpoint {path} cannot be read: {type(error).__name__}: {error}") from error
    if version != _VERSION:
        raise UserError(f"the checkpoint {path} is of another version of this program: remove it")
    if settings != settings_digest:
        raise UserError(f"the checkpoint {path} is of an experiment with other settings: give another --output")
    checked: dict[str, Any] = state
    return checked
