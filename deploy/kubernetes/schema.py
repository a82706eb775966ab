"""The settings of the programs as JSON schemas in the chart's values.schema.json; `btard docs` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Collection
from enum import Enum
from pathlib import Path
from typing import Any

from btard.byzantine.settings import BehaviourSettings
from btard.configuration.options import Setting, settings_of
from btard.configuration.settings import Settings
from btard.coordinator.settings import CoordinatorSettings
from btard.peer.settings import PeerSettings

CHART = Path(__file__).parent / "btard"
SCHEMA = CHART / "values.schema.json"

OF_THE_COORDINATOR = frozenset(
    {
        "directory", "dht_port", "host", "cache_dir", "wandb", "dashboard", "dashboard_token_file", "metrics",
        "metrics_token_file",
    }
)  # fmt: skip
"""Settings of the coordinator that the chart gives itself."""

OF_A_PEER = frozenset(
    {
        "initial_peers", "directory", "host", "port", "cache_dir", "device", "tau", "wandb", "metrics",
        "metrics_token_file",
    }
)  # fmt: skip
"""Settings of a peer that the chart gives itself, or that are the run's."""

OF_AN_ATTACKER = frozenset({"attack_directory"})

_LARGEST = 2**53
"""Helm holds numbers as float64; larger whole ones would be changed in silence."""

_WIDTH = 118

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}


def with_settings(text: str) -> str:
    """Return the text of a values.schema.json with the definitions that follow from the settings."""
    schema = json.loads(text)
    behaviour = set(BehaviourSettings.model_fields)
    schema["$defs"] |= {
        "runSettings": _definition(CoordinatorSettings, OF_THE_COORDINATOR),
        "peerSettings": _definition(PeerSettings, OF_A_PEER | behaviour),
        "attack": _definition(BehaviourSettings, OF_AN_ATTACKER, by_environment=True),
    }
    schema["$defs"]["attack"] |= {"required": ["ATTACK_TYPE"]}
    return _written(schema) + "\n"


def _definition(cls: type[Settings], without: Collection[str], *, by_environment: bool = False) -> dict[str, Any]:
    settings = [setting for name, setting in settings_of(cls).items() if name not in without]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            setting.environment[0] if by_environment else setting.name: _property(setting) for setting in settings
        },
    }


def _property(setting: Setting) -> dict[str, Any]:
    if setting.is_list:
        return {"type": "array", "items": {"type": ["string", "integer"]}}
    if issubclass(setting.value_type, Enum):
        return {"enum": [str(member.value) for member in setting.value_type]}
    found: dict[str, Any] = {"type": _TYPES.get(setting.value_type, "string")}
    bounds = setting.bounds
    if bounds.low is not None:
        found["exclusiveMinimum" if bounds.low_exclusive else "minimum"] = bounds.low
    if setting.value_type is int and (bounds.high is None or bounds.high > _LARGEST):
        found["maximum"] = _LARGEST
    elif bounds.high is not None:
        found["exclusiveMaximum" if bounds.high_exclusive else "maximum"] = bounds.high
    return found


def _written(value: Any, indent: str = "", before: int = 0) -> str:
    """Return JSON in which whatever fits into a line is on one; `before` counts what stands there already."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or before + len(flat) <= _WIDTH:
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        parts = [_written(entry, deeper, len(deeper)) for entry in value]
    else:
        parts = [f'"{key}": ' + _written(entry, deeper, len(deeper + key) + 4) for key, entry in value.items()]
    left, right = "[]" if isinstance(value, list) else "{}"
    return f"{left}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{right}"
