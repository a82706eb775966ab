"""Where a page or metrics are served: `:8080` or `HOST:PORT`. Imports nothing heavy: settings are checked with it."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from btard.errors import UserError

_ADDRESS = re.compile(r"^(?:(?P<host>[^:\[\]]*)|\[(?P<v6>[0-9A-Fa-f:.]+)\]):(?P<port>\d{1,5})$")
_BACKLOG = 32


@dataclass(frozen=True)
class Address:
    """An IP address of this machine and a TCP port, 0 for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that is written `:PORT` (of loopback), `HOST:PORT` or `[V6]:PORT`.

        Raises:
            ValueError: it is none; the words say what to write, as pydantic's validators want them.
        """
        match = _ADDRESS.match(text)
        host = (match["host"] or match["v6"] or "127.0.0.1") if match else ""
        if host == "localhost":
            host = "127.0.0.1"
        try:
            if match is not None and int(match["port"]) <= 65535:
                return cls(str(ipaddress.ip_address(host)), int(match["port"]))
        except ValueError:
            pass
        raise ValueError(
            "must be :PORT or HOST:PORT, such as :8080, with HOST an IP address of this machine, localhost or 0.0.0.0"
        )

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """What to open in a browser."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


def check_address(text: str | None) -> str | None:
    """Return a setting as it is; raises ValueError when it is neither None nor an address."""
    if text is not None:
        Address.parse(text)
    return text


def bind(address: Address, flag: str) -> tuple[socket.socket, Address]:
    """Return a listening socket, and its address with the port that it has got; `flag` is whose value the address is.

    Raises:
        UserError: the port is taken or not allowed, or the address is not this machine's.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        why = {
            errno.EADDRINUSE: f"port {address.port} is in use; give another",
            errno.EACCES: f"port {address.port} needs more rights; give one above 1023",
            errno.EADDRNOTAVAIL: f"{address.host} is no address of this machine",
        }.get(error.errno or 0, os.strerror(error.errno or 0))
        raise UserError(f"{flag} cannot listen on {address.host}:{address.port}: {why}") from None
    return sock, Address(address.host, sock.getsockname()[1])
