"""A real coordinator for the commands that look at a swarm."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.peer.test_daemon import Program, until


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a coordinator listens that waits for two peers."""
    directory = tmp_path_factory.mktemp("coordinator")
    words = "--experiment test --task digits --size tiny --host 127.0.0.1 --dht-port 0 --peers 2 --total-steps 100000"
    program = Program(directory / "log", "btard-coordinator", "--directory", str(directory), *words.split())
    try:
        yield until(lambda: re.search(r"--initial-peers (\S+)", program.log.read_text()), program).group(1)
    finally:
        program.end()
