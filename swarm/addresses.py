"""From a host and a port as typed to multiaddresses, and back to what an operator copies to other machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from btard.errors import UserError
from btard.transport.dialable import dialable

_MADDR = re.compile(r"^/(?P<kind>ip4|ip6|dns|dns4|dns6|dnsaddr)/(?P<host>[^/]+)/tcp/(?P<port>\d+)")


def listen_maddrs(host: str, port: int) -> list[str]:
    """Return the multiaddresses to listen on.

    Raises:
        UserError: the host is no IP address and not `localhost`.
    """
    if host == "localhost":
        host = "127.0.0.1"
    address = _as_ip(host)
    if address is None:
        raise UserError(f"--host is {host!r}, but must be an IP address of this machine, or 0.0.0.0 for all of them")
    return [f"/ip{address.version}/{address}/tcp/{port}"]


def announce_maddrs(announced: Sequence[str], port: int) -> list[str]:
    """Return the multiaddresses to tell others for addresses, names and multiaddresses as typed.

    Raises:
        UserError: one of them is neither, or has no port when the own one is not known in advance.
    """
    return [_announced(text, port) for text in announced]


def _announced(text: str, port: int) -> str:
    if text.startswith("/"):
        if _MADDR.match(text) is None:
            raise UserError(f"--announce is {text!r}, but must be an address or such as /ip4/203.0.113.5/tcp/31337")
        return text
    address = _as_ip(text)
    if address is None and not dialable(f"/dns4/{text}/tcp/1"):
        raise UserError(f"--announce is {text!r}, but must be an IP address, a DNS name or a multiaddress")
    if port == 0:
        raise UserError("--announce needs a full multiaddress, or a port to listen on that is known in advance, not 0")
    return f"/ip{address.version}/{address}/tcp/{port}" if address else f"/dns4/{text}/tcp/{port}"


def host_port(maddrs: Sequence[str]) -> str:
    """Return the `host:port` at which others best reach full multiaddresses; one beyond this machine is preferred."""
    found = [match for match in map(_MADDR.match, maddrs) if match]
    if not found:
        # Imports hivemind, for which nobody waits that only wants to know whether an address is one.
        from btard.transport.libp2p.discover import split_maddr

        return split_maddr(maddrs[0])[1] if maddrs else "unknown"
    best = next((match for match in found if not _is_local(match["host"])), found[0])
    host = f"[{best['host']}]" if best["kind"] == "ip6" else best["host"]
    return f"{host}:{best['port']}"


def _as_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    address = _as_ip(host)
    return address is not None and (address.is_loopback or address.is_link_local)
