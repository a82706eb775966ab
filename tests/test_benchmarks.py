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
    calm, _ = settling.sent(peers, "NONE")
    failed, _ = settling.sent(peers, "QUARREL")
    assert calm < failed - calm <= 8 * calm
