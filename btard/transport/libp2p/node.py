"""A peer's network, in two processes: this Python process and one p2pd, shared by the transport and the DHT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from hivemind.p2p import PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.transport.base import Inbox, PeerAddress
from btard.transport.libp2p.control import ControlSocket, DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.dht import RecordNode, own_id
from btard.transport.libp2p.discover import split_maddr
from btard.transport.libp2p.fetch import Serve
from btard.transport.libp2p.record_rules import RecordRules
from btard.transport.libp2p.records import Records
from btard.transport.libp2p.settings import Limits
from btard.transport.libp2p.transport import Libp2pTransport
from btard.transport.libp2p.twin import TwinWatch, refuse_twin
from btard.transport.libp2p.view import attach_p2p
from btard.transport.libp2p.watchdog import Watchdog
from btard.vocabulary import HEARTBEAT_FILE

logger = logging.getLogger(__name__)

_PING_PAUSE = 0.2
_DIAL_PAUSE = 1.0
_LOOK_ROUND = 3.0

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)

_SEEN_SECONDS = 0.5
"""After which the end of a p2pd has been seen."""


class Libp2pNode:
    """p2pd, the streams of the transport, the DHT node, and the watchdog over them. Made by `create`."""

    def __init__(
        self,
        daemon: Daemon,
        transport: Libp2pTransport,
        dht: RecordNode,
        records: Records,
        maddrs: tuple[str, ...],
        parts: contextlib.AsyncExitStack,
    ) -> None:
        """`parts` ends what was started, the last first."""
        self._daemon = daemon
        self._parts = parts
        self.transport = transport
        self.dht = dht
        self.records = records
        self.maddrs = maddrs
        """Full multiaddresses (with `/p2p/<id>`) at which p2pd said it can be dialled when the node was made."""

    @classmethod
    async def create(
        cls,
        identity_path: Path,
        initial_peers: Sequence[str] = (),
        *,
        host_maddrs: Sequence[str] = LOOPBACK,
        announce_maddrs: Sequence[str] = (),
        public: bool = False,
        tls: bool = True,
        startup_timeout_seconds: float = 30.0,
        patience_seconds: float = 0.0,
        serve: Serve | None = None,
        inbox: Inbox | None = None,
        limits: Limits | None = None,
        on_failure: Callable[[str], None] | None = None,
        client: bool = False,
    ) -> Libp2pNode:
        """Start p2pd, join the swarm of `initial_peers`, and begin to receive.

        Args:
            identity_path: Ed25519 key file, made when missing; a lock beside it keeps two peers from using it.
            initial_peers: full multiaddresses (see `discover`); none starts a new swarm.
            host_maddrs: multiaddresses to listen on; port 0 takes a free one.
            announce_maddrs: multiaddresses to tell others instead of those found.
            public: use NAT port mapping, hole punching, and AutoNAT.
            tls: offer TLS beside Noise; without it `host:port` discovery cannot find this node.
            startup_timeout_seconds: seconds for each of p2pd's start and joining.
            patience_seconds: seconds for which initial peers are dialled again while none of them answers.
            serve: answers fetches.
            inbox: what arrives is delivered to it; may be attached to the transport later.
            limits: deadlines and bounds of the transport.
            on_failure: called once with a sentence when p2pd died or hangs: the peer must end.
            client: only ask the DHT; the others store nothing with this node and count it as none of theirs.

        Raises:
            KeyInUse: somebody else answers the initial peers with this key now (see `twin`).
            UserError: the port is in use, the identity is unusable or in use, no initial peer is reachable.
        """
        if not client:
            await refuse_twin(identity_path, initial_peers)
        async with contextlib.AsyncExitStack() as parts:
            daemon = await Daemon.start(
                identity_path,
                host_maddrs=host_maddrs,
                announce_maddrs=announce_maddrs,
                public=public,
                tls=tls,
                timeout_seconds=startup_timeout_seconds,
            )
            parts.push_async_callback(daemon.stop)
            transport = Libp2pTransport(daemon, serve=serve, limits=limits)
            parts.push_async_callback(transport.close)
            transport.attach(inbox)
            async with _joining(daemon, startup_timeout_seconds):
                maddrs = await _own_maddrs(daemon, startup_timeout_seconds)
                await transport.start(startup_timeout_seconds)
                reached = await _dial(transport, initial_peers, startup_timeout_seconds, patience_seconds)
                dht, rules = await _start_dht(daemon, parts, startup_timeout_seconds, client=client)
                anchors = frozenset(split_maddr(maddr)[0] for maddr in reached)
                records = Records(dht, IdentityKey.load(identity_path), rules, anchors)
                await _meet(dht, reached, startup_timeout_seconds)
            if on_failure is not None:
                watchdog = Watchdog(daemon, on_failure, heartbeat=identity_path.with_name(HEARTBEAT_FILE))
                parts.push_async_callback(watchdog.close)
            return cls(daemon, transport, dht, records, maddrs, parts.pop_all())

    @property
    def peer_id(self) -> PeerId:
        """The own peer id."""
        return self._daemon.peer_id

    @property
    def control(self) -> ControlSocket:
        """The own p2pd's control socket."""
        return self._daemon.control

    @property
    def daemon_pid(self) -> int:
        """The process id of p2pd."""
        return self._daemon.pid

    async def close(self) -> None:
        """Leave: stop the streams, the DHT node and p2pd, and remove their sockets. May be called twice."""
        await self._parts.aclose()


@contextlib.asynccontextmanager
async def _joining(daemon: Daemon, timeout_seconds: float) -> AsyncIterator[None]:
    """Tell the user what the network says; raises UserError, also as soon as p2pd ends: hivemind's calls through one
    that has ended never return."""
    task = asyncio.current_task()
    assert task is not None
    ended: str | None = None

    async def watch() -> None:
        nonlocal ended
        ended = await daemon.wait()
        task.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        yield
    except (DaemonError, P2PDaemonError, EOFError, OSError) as error:
        said = ended or str(error) or type(error).__name__
        raise UserError(f"could not join the swarm within {timeout_seconds:g} s: {said}") from None
    except UserError:
        # That nobody was reached says nothing of the others if p2pd has died; its end may be seen a moment later.
        try:
            await asyncio.wait({watching}, timeout=_SEEN_SECONDS)
        except asyncio.CancelledError:
            if ended is None or task.uncancel() > 0:
                raise
        if ended is None:
            raise
        raise UserError(_died(daemon, ended)) from None
    except asyncio.CancelledError:
        if ended is None or task.uncancel() > 0:
            raise
        raise UserError(_died(daemon, ended)) from None
    finally:
        watching.cancel()


def _died(daemon: Daemon, how: str) -> str:
    return f"the network daemon p2pd (pid {daemon.pid}) {how} while joining; start again"


async def _start_dht(
    daemon: Daemon, parts: contextlib.AsyncExitStack, timeout_seconds: float, *, client: bool
) -> tuple[RecordNode, RecordRules]:
    """Return the DHT node, and the rules by which it keeps records."""
    async with asyncio.timeout(timeout_seconds):
        p2p = await attach_p2p(daemon)
        parts.push_async_callback(p2p.shutdown)
        rules = RecordRules()
        dht = await RecordNode.start(p2p, daemon.peer_id, rules, _Flooded(daemon.control), client=client)
        # Not dht.shutdown(): it asks p2pd to forget its handlers, for ever if p2pd is dead, and p2pd ends anyway.
        parts.callback(setattr, dht, "is_alive", False)
        if not client:
            await TwinWatch(daemon.control, p2p, dht.protocol.allowances).add_p2p_handlers(p2p)
    return dht, rules


async def _own_maddrs(daemon: Daemon, timeout_seconds: float) -> tuple[str, ...]:
    raw_id, maddrs = await daemon.control.identify(timeout_seconds)
    if raw_id != daemon.peer_id:
        raise UserError("p2pd took another identity than the key file's; reinstall hivemind 1.1.12")
    return tuple(f"{maddr}/p2p/{daemon.peer_id}" for maddr in maddrs)


async def _dial(
    transport: Libp2pTransport, initial_peers: Sequence[str], timeout_seconds: float, patience_seconds: float
) -> list[str]:
    """Return those initial peers that answered; raises UserError when there are some and none answers in patience."""
    others = [(text, *split_maddr(text)) for text in initial_peers]
    others = [entry for entry in others if entry[1] != transport.peer_id]
    deadline = time.monotonic() + patience_seconds
    told = False

    async def dial(peer: PeerId, maddr: str) -> str | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await transport.connect(PeerAddress(peer, (maddr,)))
        except (DaemonError, TimeoutError) as error:
            # p2pd tells each address on a line of its own.
            return " ".join(str(error).split()) or f"no answer within {timeout_seconds:g} s"
        return None

    while True:
        failures = await asyncio.gather(*(dial(peer, maddr) for _, peer, maddr in others))
        reached = [entry[0] for entry, failure in zip(others, failures, strict=True) if failure is None]
        if reached or not others:
            return reached
        each = "; ".join(f"{entry[0]}: {failure}" for entry, failure in zip(others, failures, strict=True))
        left = deadline - time.monotonic()
        if left <= 0:
            raise UserError(f"no initial peer is reachable ({each}); check the addresses and that one of them runs")
        if not told:
            told = True
            logger.warning("no initial peer is reachable (%s); trying for %.0f s more", each, left)
        await asyncio.sleep(min(_DIAL_PAUSE, left))


async def _meet(dht: RecordNode, initial_peers: Sequence[str], timeout_seconds: float) -> None:
    """Ask initial peers until one has answered, then look for the nodes nearest to the own id.

    A lone node finds nothing in the DHT. After `timeout_seconds` the node goes on alone, and asks later.
    """
    peers = [PeerID.from_base58(str(split_maddr(maddr)[0])) for maddr in initial_peers]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while peers and not dht.protocol.routing_table.uid_to_peer_id:
                await asyncio.gather(*map(dht.protocol.call_ping, peers))
                if not dht.protocol.routing_table.uid_to_peer_id:
                    await asyncio.sleep(_PING_PAUSE)
    for peer in peers:
        if peer not in dht.protocol.routing_table:
            dht.protocol.lost[peer] = None
    if peers:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_ROUND):
                await dht.nearest([dht.node_id])


class _Flooded:
    """Closes the connection to a peer that asks the DHT for far more than it may."""

    def __init__(self, control: ControlSocket) -> None:
        self._control = control
        self._closing: dict[PeerID, asyncio.Task[None]] = {}

    def __call__(self, peer: PeerID) -> None:
        if peer not in self._closing:
            self._closing[peer] = asyncio.create_task(self._close(peer))

    async def _close(self, peer: PeerID) -> None:
        try:
            if (who := own_id(peer)) is not None:
                logger.warning("%s floods the DHT; closing the connection", who)
                await self._control.disconnect(who, _LOOK_ROUND)
        except DaemonError as error:
            logger.debug("cannot close a connection: %s", error)
        finally:
            del self._closing[peer]
