"""What is shipped and written about metrics agrees with what the endpoints export."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from btard.coordinator.telemetry.meter import SwarmMeter
from btard.peer.telemetry.meter import PeerMeter
from btard.transport.libp2p import Counters
from tests.coordinator.swarm import identity, manifest
from tests.swarm.telemetry.families import Family, exported, families, values

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "observability.md").read_text()
BOARD = json.loads((ROOT / "deploy" / "grafana" / "btard.json").read_text())
UNITS = ("", "samples/s", "seconds", "bytes", "samples", "steps", "step", "peers", "attempts", "examinations", "times")
OWN_LABELS = {"version", "numerics", "experiment", "run_id", "peer", "le"}
"""Labels with one value a process, and the one of histograms."""


def swarm_text() -> str:
    registry = CollectorRegistry()
    SwarmMeter(registry, manifest())
    return exported(registry)


def peer_text() -> str:
    registry = CollectorRegistry()
    key = identity(1).peer_id
    PeerMeter(registry, key, experiment="test", run_id="11" * 16, numerics="torch", counters=Counters())
    return exported(registry)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the guide."""
    section = GUIDE.split(f"### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize(("heading", "text"), [("Of the coordinator", swarm_text), ("Of a peer", peer_text)])
def test_the_table_is_what_is_exported(heading: str, text: Any) -> None:
    told = []
    for name, kind, unit, labels, meaning in rows(heading):
        told.append(Family(name.strip("`"), kind, tuple(re.findall(r"`(\w+)`", labels)), meaning))
        for word in ("seconds", "bytes"):
            assert (unit == word) == (f"_{word}" in name), name
        assert unit in UNITS or unit == "checkpoints", name
    assert told == list(families(text()).values())


def test_names_follow_the_conventions() -> None:
    for family in [*families(swarm_text()).values(), *families(peer_text()).values()]:
        assert re.fullmatch(r"btard_[a-z_]+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert family.meaning.endswith(".")


def test_the_values_of_labels_are_those_of_the_table() -> None:
    found: dict[str, set[str]] = {}
    for series in values(swarm_text()) | values(peer_text()):
        for name, value in re.findall(r'(\w+)="([^"]*)"', series):
            found.setdefault(name, set()).add(value)
    told = {label.strip("`"): set(re.findall(r"`([^`]+)`", cell)) for label, cell in rows("Labels")}
    assert told == {name: value for name, value in found.items() if name not in OWN_LABELS}


def expressions() -> list[str]:
    """What the board asks Prometheus for."""
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    queries = [variable["query"] for variable in BOARD["templating"]["list"]]
    return panels + [query["query"] for query in queries if isinstance(query, dict)]


def test_the_board_asks_only_for_what_is_exported() -> None:
    known: set[str] = set()
    labels: dict[str, set[str]] = {}
    for family in [*families(swarm_text()).values(), *families(peer_text()).values()]:
        endings = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        for name in (family.name + ending for ending in endings):
            known.add(name)
            labels[name] = {*family.labels, "job", "instance", "le"}
    asked = {name for expr in expressions() for name in re.findall(r"\bbtard_\w+", expr)}
    assert asked <= known and len(asked) > 25
    for expr in expressions():
        for name, selector in re.findall(r"\b(btard_\w+)\{([^}]*)\}", expr):
            assert {pair.split("=")[0].strip() for pair in selector.split(",")} <= labels[name], expr
        for by in re.findall(r"by \(([^)]*)\)", expr):
            for name in re.findall(r"\bbtard_\w+", expr):
                assert {label.strip() for label in by.split(",")} <= labels[name], expr
    assert all("job=~" in expr for expr in expressions() if not expr.startswith("label_values"))


def test_legends_use_labels_that_are_there() -> None:
    exports = families(swarm_text()) | families(peer_text())
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) - {"instance", "job"}
            (name, *_) = re.findall(r"\bbtard_\w+", target["expr"])
            name = next(each for each in (name, re.sub("_(bucket|sum|count)$", "", name)) if each in exports)
            assert wanted <= set(exports[name].labels), panel["title"]


def test_the_board_has_the_parts_that_grafana_needs() -> None:
    assert BOARD["id"] is None and BOARD["uid"] and BOARD["title"] == "BTARD"
    assert isinstance(BOARD["schemaVersion"], int) and BOARD["time"] and BOARD["refresh"]
    assert {variable["name"]: variable["type"] for variable in BOARD["templating"]["list"]} == {
        "datasource": "datasource",
        "job": "query",
    }
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert panel["title"] and panel["type"] in {"row", "stat", "timeseries", "table"}
        assert place["x"] + place["w"] <= 24 and place["w"] > 0
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} covers another panel"
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            references = [target["refId"] for target in panel["targets"]]
            assert references and len(set(references)) == len(references)
            assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_the_example_scrapes_both_kinds_of_endpoints() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    local, remote = config["scrape_configs"]
    for job in (local, remote):
        (group,) = job["static_configs"]
        assert all(re.fullmatch(r"[\w.-]+:\d+", target) for target in group["targets"])
        assert "metrics_path" not in job, "the default is where we serve"
    assert all(target.startswith("127.0.0.1:") for target in local["static_configs"][0]["targets"])
    assert remote["authorization"] == {"type": "Bearer", "credentials_file": "btard.token"}
