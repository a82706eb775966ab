"""The real network: hivemind's p2pd and DHT, with raw streams for messages and parts.

`Libp2pNode.create` starts one; `resolve_initial_peers` turns `host:port` into the multiaddresses that it takes.
"""

from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import remove_leftovers
from btard.transport.libp2p.discover import NoAnswer, resolve_initial_peer, resolve_initial_peers
from btard.transport.libp2p.fetch import Busy, FetchError
from btard.transport.libp2p.node import Libp2pNode
from btard.transport.libp2p.records import RecordError, Records
from btard.transport.libp2p.settings import Counters, Limits
from btard.transport.libp2p.transport import Libp2pTransport
from btard.transport.libp2p.twin import KeyInUse

__all__ = [
    "Busy",
    "Counters",
    "DaemonError",
    "FetchError",
    "KeyInUse",
    "Libp2pNode",
    "Libp2pTransport",
    "Limits",
    "NoAnswer",
    "RecordError",
    "Records",
    "remove_leftovers",
    "resolve_initial_peer",
    "resolve_initial_peers",
]
