"""Benchmarks are no tests, but they fit the product: each can be loaded, and the one of failed attempts measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmarks import settling

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")))
def test_a_benchmark_can_be_loaded(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


@pytest.mark.parametrize("peers", [8, 16])
def test_a_failed_attempt_costs_eight_steps_at_most(peers: int) -> None:
    calm, _, _ = settling.sent(peers, "NONE")
    failed, _, _ = settling.sent(peers, "QUARREL")
    assert calm < failed - calm <= 8 * calm


@pytest.mark.parametrize("liars, bounds", [(1, 0.0), (2, 3.95), (3, 0.0), (3, 1.95)])
def test_a_failed_attempt_costs_less_than_its_closed_form(liars: int, bounds: float) -> None:
    calm, _, _ = settling.sent(8, "NONE")
    cost, _, failed = settling.sent(8, "QUARREL", liars, bounds)
    assert failed and (cost - calm) / failed <= settling.most(8, liars, calm)
