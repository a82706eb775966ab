"""An empty AWS for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.aws.account import Account
from tests.deploy.aws.server import Moto, Proxy


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    server = Moto()
    yield server
    server.close()


@pytest.fixture
def account(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    moto.reset()
    proxy = Proxy(moto)
    found = Account(proxy)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    yield found
    proxy.close()
