"""What all tests share.

Hypothesis measures no time, since other tests and other programs run beside it, and tries 50 examples; with
TEST_MORE=100 it tries a hundred times as many. The test that takes longest comes first, so that no worker is left
alone with it at the end. TEST_SHARD=2/3 takes the second third of the slow tests.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.quick import MORE, shard

settings.register_profile(
    "untimed", deadline=None, max_examples=50 * MORE, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take one shard of the slow tests, where one is asked for, and build the image first."""
    if asked := os.environ.get("TEST_SHARD"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        left_out = set(slow) - set(shard(asked, slow))
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=[item for item in slow if item in left_out])
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)
