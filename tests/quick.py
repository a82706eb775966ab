"""Cases of a test of which a few are run each time, more by `make test-slow`, and all with TEST_EVERY=1.

These variables have no BTARD_ before them: a program that a test starts refuses such a variable that it does not know.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

MORE = int(os.environ.get("TEST_MORE", "1"))
"""Times as many examples as usual that hypothesis tries."""


def quick(count: int, cases: Iterable[Any], *, slow: int | None = None) -> list[Any]:
    """Return the cases for `parametrize`.

    Args:
        count: how many of them, evenly spread, each run takes.
        slow: how many of the others, evenly spread, the slow tests take, unless TEST_EVERY is 1; all by default.
    """
    all_of_them = list(cases)
    chosen = _spread(count, len(all_of_them))
    others = [place for place in range(len(all_of_them)) if place not in chosen]
    if slow is not None and stride(2) > 1:
        kept = _spread(slow, len(others))
        others = [place for number, place in enumerate(others) if number in kept]
    return [all_of_them[p] if p in chosen else _slow(all_of_them[p]) for p in sorted([*chosen, *others])]


def stride(usual: int) -> int:
    """Return of which step the slow tests go through what they enumerate: `usual`, unless TEST_EVERY says, where
    1 takes all."""
    return int(os.environ.get("TEST_EVERY", usual))


def shard(asked: str, everything: Sequence[T]) -> Sequence[T]:
    """Return each n-th of everything from the k-th on, where `asked` is "k/n": what is alike stands together, so each
    shard has some of it.

    Raises:
        pytest.UsageError: it is not "k/n" with 1 <= k <= n.
    """
    k, _, n = asked.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise pytest.UsageError(f"a shard of the slow tests is written 2/3 and not {asked!r}")
    return everything[int(k) - 1 :: int(n)]


def _spread(count: int, length: int) -> set[int]:
    return {place * length // count for place in range(count)}


def _slow(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
