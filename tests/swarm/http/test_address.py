"""Where something is served, and which readers must show a token: one clear sentence for everything else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.swarm.http.address import Address, bind
from btard.swarm.http.token import read_token


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        (":8080", "127.0.0.1", 8080, True),
        ("localhost:1", "127.0.0.1", 1, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("192.168.1.5:0", "192.168.1.5", 0, False),
        ("[::1]:65535", "::1", 65535, True),
        ("[::]:1", "::", 1, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":", ":x", ":65536", ":-1", "example.org:80", "1.2.3:80", "::1:80", "[::1]", "http://x:1", ":1/"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="such as :8080"):
        Address.parse(text)


def test_urls() -> None:
    assert Address("127.0.0.1", 8080).url == "http://127.0.0.1:8080/"
    assert Address("::1", 1).url == "http://[::1]:1/"
    assert Address("0.0.0.0", 1).url == f"http://{socket.gethostname()}:1/"


def test_a_port_that_is_taken() -> None:
    taken, address = bind(Address("127.0.0.1", 0), "--metrics")
    with taken, pytest.raises(UserError, match=f"--metrics cannot listen on .*: port {address.port} is in use"):
        bind(address, "--metrics")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1 is no address of this machine"):
        bind(Address("192.0.2.1", 0), "--metrics")


@pytest.mark.parametrize("text", ["", "short", "with blank in the middle", "x" * 129, "ümlaut-ümlaut-ümlaut"])
def test_files_without_a_token(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(UserError, match=r"--metrics-token-file .* must hold 16 to 128"):
        read_token(tmp_path / "token", "--metrics-token-file")
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "none", "--metrics-token-file")
