"""What all tests share: hypothesis measures no time, since other tests and other programs run beside it; and the test
that takes longest comes first, so that no worker is left alone with it at the end."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Build the image first."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)
