"""Cases of a test of which a few are run each time, and all of them by `make test-slow`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest


def quick(count: int, cases: Iterable[Any]) -> list[Any]:
    """Return the cases for `parametrize`; all but `count` of them, evenly spread, are left to the slow tests."""
    all_of_them = list(cases)
    chosen = {place * len(all_of_them) // count for place in range(count)}
    return [case if place in chosen else _slow(case) for place, case in enumerate(all_of_them)]


def stride(usual: int) -> int:
    """Return of which step the slow tests go through what they enumerate: `usual`, unless BTARD_TEST_EVERY says, where
    1 takes all."""
    return int(os.environ.get("BTARD_TEST_EVERY", usual))


def _slow(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
