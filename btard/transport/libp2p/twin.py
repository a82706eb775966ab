"""One key, one node: before a peer starts, its initial peers are asked whether somebody with its key answers them now.

Two processes with one key contradict each other, and are banned for it. The lock beside the key file keeps a second
process from the same file; here a copy of the file is noticed. The question is asked under a key that is made for it:
the own one is not connected yet, so a peer that answers with it is another. An initial peer looks among its connections
and asks what is there, which also reaches one behind a NAT. What a killed peer leaves, a connection or a port, does not
answer, so a restart is not refused.

Not noticed: a twin that has no connection to any of the initial peers, that is stopped or hangs, or that starts at the
same moment; and none at all by a node that starts without initial peers.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError
from hivemind.proto import dht_pb2

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.transport.libp2p.allowance import Allowances
from btard.transport.libp2p.control import ControlSocket, DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.discover import split_maddr
from btard.transport.libp2p.view import attach_p2p

logger = logging.getLogger(__name__)

LOOK_TIMEOUT_SECONDS = 10.0
"""Seconds for the whole look; what is not found by then is not there."""

_HERE_TIMEOUT_SECONDS = 4.0
_LOOKS_AT_ONCE = 8
_LOOK_COST = 100
"""Keys of the asker's allowance."""


class KeyInUse(UserError):
    """Another process answers with this very key now."""


class TwinWatch(ServicerBase):
    """Answers whether somebody with a key is connected and alive, and that the own process is."""

    def __init__(self, control: ControlSocket, p2p: P2P, allowances: Allowances) -> None:
        self._control = control
        self._p2p = p2p
        self._allowances = allowances
        self._looking = 0

    async def rpc_here(self, request: dht_pb2.PingRequest, context: P2PContext) -> dht_pb2.PingResponse:
        """Answer: this process is alive."""
        return dht_pb2.PingResponse(available=self._allowances.spend(context.remote_id, 1))

    async def rpc_holds(self, request: dht_pb2.PingRequest, context: P2PContext) -> dht_pb2.PingResponse:
        """Tell whether the peer whose id is in the place of the node id is connected and answers; dials nobody."""
        found = False
        if self._looking < _LOOKS_AT_ONCE and self._allowances.spend(context.remote_id, _LOOK_COST):
            self._looking += 1
            try:
                found = await self._answers(request.peer.node_id)
            finally:
                self._looking -= 1
        return dht_pb2.PingResponse(available=found)

    async def _answers(self, raw: bytes) -> bool:
        try:
            if PeerId(raw) not in await self._control.connected(_HERE_TIMEOUT_SECONDS):
                return False
            return await _ask_here(self._p2p, PeerID(raw))
        except (ValueError, DaemonError):
            return False


async def refuse_twin(
    identity_path: Path,
    initial_peers: Sequence[str],
    *,
    timeout_seconds: float = LOOK_TIMEOUT_SECONDS,
) -> None:
    """Raise KeyInUse if an initial peer finds the key of `identity_path` in use now; without initial peers, nothing.

    Args:
        identity_path: the Ed25519 key file; nothing is asked about one that is not there yet.
        initial_peers: full multiaddresses; those that cannot be reached are not asked.
        timeout_seconds: seconds for everything.
    """
    if not initial_peers or not identity_path.exists():  # noqa: ASYNC240 - as quick as reading it
        return
    own = IdentityKey.load(identity_path).peer_id
    try:
        async with asyncio.timeout(timeout_seconds):
            in_use = await _look(own, initial_peers)
    except (DaemonError, P2PDaemonError, EOFError, OSError) as error:
        logger.debug("nobody could be asked about the key: %s", error)
        return
    if in_use:
        raise KeyInUse(
            f"the key in {identity_path} ({own}) is in use: another process, perhaps on another machine, answers with "
            "it now; stop that one, or give this one another directory, where a key of its own is made"
        )


async def _look(own: PeerId, initial_peers: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory(prefix="btard-look-") as directory:
        daemon = await Daemon.start(Path(directory) / "identity.key", host_maddrs=["/ip4/127.0.0.1/tcp/0"])
        try:
            p2p = await attach_p2p(daemon)
            try:
                return any(await asyncio.gather(*(_ask_holds(daemon, p2p, maddr, own) for maddr in initial_peers)))
            finally:
                await p2p.shutdown()
        finally:
            await daemon.stop()


async def _ask_holds(daemon: Daemon, p2p: P2P, maddr: str, own: PeerId) -> bool:
    peer, address = split_maddr(maddr)
    try:
        await daemon.control.connect(peer, [address], _HERE_TIMEOUT_SECONDS)
        if peer == own:
            return await _ask_here(p2p, PeerID(bytes(own)))
        question = dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=bytes(own)))
        answer = await TwinWatch.get_stub(p2p, PeerID(bytes(peer))).rpc_holds(
            question, timeout=2 * _HERE_TIMEOUT_SECONDS
        )
    except Exception as error:  # hivemind raises what its handlers, p2pd and protobuf raise
        logger.debug("%s cannot be asked about the key: %s", maddr, error)
        return False
    return bool(answer.available)


async def _ask_here(p2p: P2P, peer: PeerID) -> bool:
    try:
        answer = await TwinWatch.get_stub(p2p, peer).rpc_here(dht_pb2.PingRequest(), timeout=_HERE_TIMEOUT_SECONDS)
    except Exception:  # as above
        return False
    return bool(answer.available)
