"""A stranger's address leads to another machine by TCP or QUIC, or it is not dialled."""

from __future__ import annotations

import pytest
from hivemind.utils.multiaddr import Multiaddr
from hypothesis import given
from hypothesis import strategies as st

from btard.transport.dialable import dialable, only_dialable
from tests.peer.helpers import PEERS

ME = str(PEERS[0])


@pytest.mark.parametrize(
    "maddr",
    [
        "/ip4/203.0.113.5/tcp/31337",
        f"/ip4/127.0.0.1/tcp/1/p2p/{ME}",
        f"/ip6/::1/tcp/65535/p2p/{ME}",
        "/dns4/peer-1.example.org/tcp/31337",
        "/dns/localhost/tcp/9",
        f"/dns4/{'a' * 63}.{'b' * 63}.c/tcp/9",
        f"/ip4/1.2.3.4/udp/4001/quic/p2p/{ME}",
        "/ip6/2001:db8::1/udp/4001/quic-v1",
    ],
)
def test_machines_are_dialled(maddr: str) -> None:
    assert dialable(maddr)


@pytest.mark.parametrize(
    "maddr",
    [
        *("", "/", "x", "203.0.113.5:31337", "/unix/tmp/p2pd.sock", f"/unix/run/x/p2p/{ME}", "/memory/7", f"/p2p/{ME}"),
        *("/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/9", "/ip4/127.0.0.1/tcp/80/http", "/ip4/127.0.0.1/tcp/80/ws"),
        *("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/65536", "/ip4/127.0.0.1/tcp/-1", "/ip4/1.2.3/tcp/1"),
        *("/ip4/::1/tcp/1", "/ip6/1.2.3.4/tcp/1", "/ip6/fe80::1%eth0/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1"),
        *("/dns4/a..b/tcp/1", f"/dns4/{'a' * 64}.b/tcp/1", "/dns4/a-.b/tcp/1", "/dns4/a./tcp/1"),
        *("/dnsaddr/example.org/tcp/1", "/dns4/a b/tcp/1", "/dns4/-x/tcp/1", "/dns4/x\n/tcp/1", "/dns4/../tcp/1"),
        f"/ip4/1.2.3.4/tcp/1/p2p/{ME}/p2p-circuit/p2p/{ME}",
        f"/ip4/1.2.3.4/tcp/1/p2p/{ME}/unix/tmp/x",
        "/ip4/1.2.3.4/tcp/1\n",
        "/ip4/1.2.3.4/tcp/1/",
        "/ip4/1.2.3.4/tcp/١",
        "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
    ],
)
def test_all_else_is_not(maddr: str) -> None:
    assert not dialable(maddr)
    assert only_dialable([maddr, "/ip4/1.2.3.4/tcp/1", maddr]) == ["/ip4/1.2.3.4/tcp/1"]


@given(st.text(max_size=40) | st.text("/ip4dnstcpuqx127.0:", max_size=40))
def test_what_is_dialled_is_a_multiaddress(text: str) -> None:
    if dialable(text):
        assert str(Multiaddr(text))
