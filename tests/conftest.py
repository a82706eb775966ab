"""What all tests share.

Hypothesis measures no time, since other tests and other programs run beside it, and tries 50 examples; with
BTARD_TEST_MORE=100 it tries a hundred times as many. The test that takes longest comes first, so that no worker is left
alone with it at the end.
"""

import pytest
from hypothesis import HealthCheck, settings

from tests.quick import MORE

settings.register_profile(
    "untimed", deadline=None, max_examples=50 * MORE, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Build the image first."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)
