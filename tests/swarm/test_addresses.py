"""Hosts, announcements and the line that an operator copies."""

from __future__ import annotations

import pytest

from btard.errors import UserError
from btard.swarm.addresses import announce_maddrs, host_port, listen_maddrs

PEER = "/p2p/12D3KooWJZiaDPeqjLozabpjtqTFq8MbFbsco2i5C8TrABh5EiV8"


@pytest.mark.parametrize(
    ("host", "maddr"),
    [
        ("0.0.0.0", "/ip4/0.0.0.0/tcp/5"),
        ("localhost", "/ip4/127.0.0.1/tcp/5"),
        ("::", "/ip6/::/tcp/5"),
        ("[::1]", "/ip6/::1/tcp/5"),
    ],
)
def test_listen(host: str, maddr: str) -> None:
    assert listen_maddrs(host, 5) == [maddr]


@pytest.mark.parametrize("host", ["", "no such host", "300.1.1.1", "example.org"])
def test_a_host_that_is_no_own_address(host: str) -> None:
    with pytest.raises(UserError, match="--host is"):
        listen_maddrs(host, 5)


def test_announce_takes_addresses_names_and_multiaddresses() -> None:
    words = ["203.0.113.5", "btard.example.org", "2001:db8::1", "/ip4/203.0.113.6/tcp/7"]
    assert announce_maddrs(words, 5) == [
        "/ip4/203.0.113.5/tcp/5",
        "/dns4/btard.example.org/tcp/5",
        "/ip6/2001:db8::1/tcp/5",
        "/ip4/203.0.113.6/tcp/7",
    ]


@pytest.mark.parametrize(
    ("word", "port"),
    [("/nonsense", 5), ("two words", 5), ("203.0.113.5:7", 5), ("a.b", 0), ("a..b", 5), ("a" * 64, 5)],
)
def test_announcements_that_nobody_can_dial(word: str, port: int) -> None:
    with pytest.raises(UserError, match="--announce"):
        announce_maddrs([word], port)


@pytest.mark.parametrize(
    ("maddrs", "shown"),
    [
        (["/ip4/127.0.0.1/tcp/9" + PEER], "127.0.0.1:9"),
        (["/ip4/127.0.0.1/tcp/9" + PEER, "/ip4/10.0.0.2/tcp/9" + PEER], "10.0.0.2:9"),
        (["/ip6/2001:db8::1/tcp/9" + PEER], "[2001:db8::1]:9"),
        (["/dns4/a.example.org/tcp/9" + PEER], "a.example.org:9"),
        ([], "unknown"),
    ],
)
def test_the_line_to_copy(maddrs: list[str], shown: str) -> None:
    assert host_port(maddrs) == shown
