"""Reading what an endpoint exports, as Prometheus does."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from btard.swarm.telemetry.endpoint import exposition


@dataclass(frozen=True)
class Family:
    """What a table says about a metric: its name as it is asked for, its type, its labels and its meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def values(text: str) -> dict[str, float]:
    """The value of each series, written as `name{label="value"}` with the labels in alphabetical order."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def exported(registry: CollectorRegistry) -> str:
    """What an endpoint answers."""
    return exposition(registry).decode()


def families(text: str) -> dict[str, Family]:
    """The metrics by name; a family without series has no labels yet, and is no use to anybody."""
    found: dict[str, Family] = {}
    for family in text_string_to_metric_families(text):
        assert family.samples, family.name
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = Family(name, family.type, tuple(sorted(labels)), family.documentation)
    return found


def series(text: str) -> int:
    """How many series there are."""
    return sum(len(family.samples) for family in text_string_to_metric_families(text))
