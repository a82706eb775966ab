"""What the peer's tests share: a trainer on the digits."""

from collections.abc import AsyncIterator

import pytest

from btard.peer.trainer import TaskTrainer
from btard.tasks.registry import load_task
from btard.vocabulary import Device
from tests.peer.helpers import run_manifest


@pytest.fixture
async def trainer() -> AsyncIterator[TaskTrainer]:
    made = TaskTrainer(load_task("digits", "tiny"), run_manifest(), Device.CPU)
    yield made
    made.close()
