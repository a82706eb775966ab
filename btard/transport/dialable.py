"""Which of a stranger's addresses may be dialled: another machine's by TCP or QUIC, never a socket file of this one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_ADDRESS = re.compile(
    r"/(?P<kind>ip4|ip6|dns|dns4|dns6)/(?P<host>[^/]{1,253})"
    r"/(?:tcp/(?P<tcp>[0-9]{1,5})|udp/(?P<udp>[0-9]{1,5})/quic(?:-v1)?)"
    r"(?:/p2p/[1-9A-HJ-NP-Za-km-z]{1,128})?"
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
"""Of a machine; one with another label cannot even be asked for."""


def dialable(maddr: str) -> bool:
    """Whether this is a multiaddress of one hop: an IP address or a DNS name, TCP or QUIC, and perhaps a peer id."""
    match = _ADDRESS.fullmatch(maddr)
    if match is None or not 0 < int(match["tcp"] or match["udp"]) < 1 << 16:
        return False
    if not match["kind"].startswith("ip"):
        return _NAME.fullmatch(match["host"]) is not None
    try:
        return ipaddress.ip_address(match["host"]).version == int(match["kind"][-1]) and "%" not in match["host"]
    except ValueError:
        return False


def only_dialable(maddrs: Iterable[str]) -> list[str]:
    """Return those addresses that may be dialled, in their order."""
    return [maddr for maddr in maddrs if dialable(maddr)]
