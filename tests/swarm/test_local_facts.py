"""What is known of a machine at once."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.swarm import local_facts
from btard.swarm.local_facts import check_can_be_made, check_device, check_ports, check_served, check_wandb
from btard.vocabulary import Device, WandbMode

HOST = "127.0.0.1"


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_folder_that_could_be_made_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_be_made(tmp_path / "a" / "b", "--output")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=f"^--output is {path}, but {tmp_path}/file is no directory"):
            check_can_be_made(path, "--output")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UserError, match=f"but {tmp_path} cannot be written; give a writable --output"):
        check_can_be_made(tmp_path / "a", "--output")


def test_what_a_killed_predecessor_left_may_hold_the_port(tmp_path: Path, busy: int) -> None:
    """It is removed when the program starts; a lock that nobody left anything behind is empty."""
    lock = tmp_path / "identity.key.lock"
    for left in (None, ""):
        if left is not None:
            lock.write_text(left)
        with pytest.raises(UserError, match=f"--port cannot listen on {HOST}:{busy}: port {busy} is in use"):
            check_ports(HOST, {"--port": busy}, {}, tmp_path)
    lock.write_text('{"directory": "/tmp/x", "p2pd": 1}')
    check_ports(HOST, {"--port": busy}, {}, tmp_path)


def test_a_port_is_named_once() -> None:
    check_ports(HOST, {"--port": 0}, {"--dashboard": ":0", "--metrics": None}, None)
    with pytest.raises(UserError, match=r"^--port and --metrics both name port 8099; give one of them another$"):
        check_ports(HOST, {"--port": 8099}, {"--dashboard": None, "--metrics": ":8099"}, None)


def test_a_free_port_stays_free(busy: int) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    for _ in range(2):
        check_ports(HOST, {"--port": free}, {}, None)
        check_served(f":{free}", None, "--dashboard")
    with pytest.raises(UserError, match=f"--dashboard cannot listen on {HOST}:{busy}"):
        check_served(f":{busy}", None, "--dashboard")


@pytest.mark.parametrize(
    ("version", "driver", "may"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None", True, False),
        ("cuda: Optional[str] = '12.4'\nhip: Optional[str] = None", False, False),
        ("cuda: Optional[str] = '12.4'\nhip: Optional[str] = None", True, True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.1'", False, True),
        ("nothing that is known", True, True),
    ],
)
def test_only_what_is_certain_of_cuda_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, driver: bool, may: bool
) -> None:
    (tmp_path / "version.py").write_text(version)
    found = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(local_facts, "find_spec", lambda _: found)
    monkeypatch.setattr(local_facts, "_has_driver", lambda: driver)
    monkeypatch.setattr(sys, "platform", "linux")
    for device in (Device.AUTO, Device.CPU):
        check_device(device)
    if may:
        check_device(Device.CUDA)
    else:
        with pytest.raises(UserError, match="--device is cuda, but this machine has no CUDA device"):
            check_device(Device.CUDA)


def test_weights_and_biases_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_facts, "find_spec", lambda _: None)
    check_wandb(WandbMode.OFF)
    with pytest.raises(UserError, match="--wandb needs the package wandb"):
        check_wandb(WandbMode.OFFLINE)
