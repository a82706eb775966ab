"""Walking the hops to an address: its name, its port, the peer that speaks there."""

from __future__ import annotations

import asyncio
import socket

from btard.peer.doctor.check_network import Answer, Hop
from btard.transport.libp2p.discover import NoAnswer, resolve_initial_peer, split_host_port, split_maddr, tcp_of


async def probe_address(text: str, timeout_seconds: float) -> Answer:
    """Return how far the way to `host:port` or a multiaddress leads; every hop has `timeout_seconds`.

    Raises:
        UserError: it is no address.
    """
    wanted = ""
    if text.startswith("/"):
        peer, rest = split_maddr(text)
        wanted = str(peer)
        place = tcp_of(rest)
        if place is None:
            # A relayed or another transport's address: p2pd alone can go there.
            return Answer(text, Hop.PEER, shown=wanted, wanted=wanted, maddr=text)
        host, port = place
    else:
        host, port = split_host_port(text)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:  # the last for what no name can be
        return Answer(text, Hop.NOTHING, _words(error, timeout_seconds), wanted=wanted)
    said, refused = "no address", False
    for address in dict.fromkeys(str(info[4][0]) for info in infos):
        try:
            async with asyncio.timeout(timeout_seconds):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            said, refused = f"{address}: {_words(error, timeout_seconds)}", isinstance(error, ConnectionRefusedError)
            continue
        writer.transport.abort()
        return await _speaker(text, host, port, wanted, timeout_seconds)
    return Answer(text, Hop.NAME, said, refused, wanted=wanted)


async def _speaker(text: str, host: str, port: int, wanted: str, timeout_seconds: float) -> Answer:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        (maddr,) = await resolve_initial_peer(name, timeout_seconds)
    except NoAnswer as error:
        return Answer(text, Hop.PORT, str(error).removeprefix(f"{name}: "), wanted=wanted)
    return Answer(text, Hop.PEER, shown=str(split_maddr(maddr)[0]), wanted=wanted, maddr=maddr)


def _words(error: BaseException, timeout_seconds: float) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
