"""hivemind's view of a p2pd that this project has started."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from hivemind.p2p import P2P
from hivemind.utils.multiaddr import Multiaddr

from btard.transport.libp2p.daemon import Daemon


class WaitingCalls(dict[UUID, "asyncio.Future[Any]"]):
    """hivemind's calls to p2pd that wait for an answer: one that has been given up is not in it.

    hivemind's reader sets the answer of every call that it finds here. Set on a call that has just been cancelled, it
    raises InvalidStateError, which ends the reader: the peer's DHT would never hear anything again.
    """

    def __contains__(self, call: object) -> bool:
        """Whether somebody still waits for the answer of a call."""
        waits = self.get(call)  # type: ignore[call-overload]
        return waits is not None and not waits.done()


async def attach_p2p(daemon: Daemon) -> P2P:
    """Return hivemind's view of our daemon, with its socket in our private directory."""
    view: Any = type("DaemonP2P", (P2P,), {"_UNIX_SOCKET_PREFIX": f"/unix{daemon.directory}/"})
    p2p = await view.replicate(Multiaddr(f"/unix{daemon.directory}/p2pd.sock"))
    control = p2p._client.control
    control._pending_calls = WaitingCalls(control._pending_calls)
    return p2p
