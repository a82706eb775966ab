"""Runs on a Ray cluster of two nodes of this machine; nodes share nothing but the network as far as runs can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btard.lab.study.results import read_result
from btard.lab.sweep.engines import engine_of
from btard.lab.sweep.running import Order, RunEnd, carry_out
from btard.lab.sweep.settings import ManyRunsSettings, SweepEngine
from btard.lab.training.settings import ExperimentSettings

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'btard[ray]'")

pytestmark = pytest.mark.slow

BASE = {"task": "digits", "workers": 5, "steps": 4, "evaluate_every": 2, "learning_rate": 0.1, "batched": "off"}
NODES = 2


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(NODES - 1):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def order(output: Path, **changes: Any) -> Order:
    return Order(json.dumps({**BASE, **changes}), output)


def test_a_cluster_brings_back_what_runs_leave(tmp_path: Path, address: str) -> None:
    orders = [order(tmp_path / f"run{seed}", seed=seed) for seed in range(3)]
    wrong = order(tmp_path / "wrong", loss="no_such_loss")
    settings = ManyRunsSettings(output=tmp_path, engine=SweepEngine.RAY, ray_address=address)
    found = dict(engine_of(settings)([*orders, wrong], lambda: False))
    assert len(ray.nodes()) == NODES and ray.cluster_resources()["CPU"] == NODES
    assert {found[one].end for one in orders} == {RunEnd.COMPLETE}
    assert found[wrong].end is RunEnd.FAILED and "no_such_loss" in found[wrong].reason
    assert not wrong.output.exists()
    here = order(tmp_path / "here", seed=1)
    assert carry_out(here).end is RunEnd.COMPLETE
    for name in ("evaluations.csv", "study.csv"):
        assert (here.output / name).read_bytes() == (orders[1].output / name).read_bytes()
    assert len(read_result(orders[0].output, ExperimentSettings(), {}).tables) == 4


def test_a_cluster_that_is_told_to_stop_begins_nothing(tmp_path: Path, address: str) -> None:
    orders = [order(tmp_path / f"run{seed}", seed=seed) for seed in range(3)]
    settings = ManyRunsSettings(output=tmp_path, engine=SweepEngine.RAY, ray_address=address)
    assert list(engine_of(settings)(orders, lambda: True)) == []
