"""hivemind's view of a p2pd that this project has started."""

from __future__ import annotations

from typing import Any

from hivemind.p2p import P2P
from hivemind.utils.multiaddr import Multiaddr

from btard.transport.libp2p.daemon import Daemon


async def attach_p2p(daemon: Daemon) -> P2P:
    """Return hivemind's view of our daemon, with its socket in our private directory."""
    view: Any = type("DaemonP2P", (P2P,), {"_UNIX_SOCKET_PREFIX": f"/unix{daemon.directory}/"})
    return await view.replicate(Multiaddr(f"/unix{daemon.directory}/p2pd.sock"))
