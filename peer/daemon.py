"""`btard-peer`: from settings to a running peer, and an orderly end whatever happens."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from btard.configuration import load_settings, to_yaml
from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.logs import MOMENT, adopt_libraries, configure_logging
from btard.peer.settings import PeerSettings
from btard.swarm.addresses import announce_maddrs, listen_maddrs
from btard.transport.shaping import LinkConditions, Shaper
from btard.vocabulary import ExitCode

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from btard.behaviour import Behaviour
    from btard.peer.assembly import TakeStage
    from btard.peer.meeting.acquaintances import Acquaintances
    from btard.swarm.telemetry.endpoint import MetricsEndpoint
    from btard.transport.libp2p import Libp2pNode

logger = logging.getLogger("btard.peer")

_RESOLVE_POLL_SECONDS = 1.0


def run(argv: Sequence[str], take_stage: TakeStage | None = None) -> int:
    """Run a peer until the run is over, and return its exit code (see docs/operations.md).

    Args:
        argv: the words of the command line.
        take_stage: takes part in runs whose model is cut into stages; None refuses them.

    Raises:
        UserError: bad settings, no run at the address, a run that this peer cannot serve.
    """
    settings = load_settings(PeerSettings, argv, program="btard-peer")
    configure_logging(settings.log_format)
    from btard.peer.local_facts import check_local_facts

    check_local_facts(settings)
    endpoint = None
    if settings.metrics is not None:
        from btard.swarm.telemetry.endpoint import MetricsEndpoint

        endpoint = MetricsEndpoint(settings.metrics, settings.metrics_token_file)
    key_is_new = not _identity_path(settings.directory).exists()
    key = _prepare_directory(settings)
    MOMENT.peer = str(key.peer_id)
    # Everything below imports torch and hivemind, for which --help and mistakes do not wait.
    import uvloop

    from btard.byzantine.selection import make_behaviour

    behaviour = make_behaviour(settings, seed=bytes(key.peer_id))
    return uvloop.run(_main(Peer(settings, key, behaviour, endpoint, take_stage, key_is_new=key_is_new)))


def _prepare_directory(settings: PeerSettings) -> IdentityKey:
    directory = settings.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(to_yaml(settings), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}; give a writable --directory") from None
    return IdentityKey.load_or_create(_identity_path(directory))


def _identity_path(directory: Path) -> Path:
    return directory / "identity.key"


async def _main(peer: Peer) -> int:
    """Run the peer's task until it ends, a signal comes, or the network fails."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(peer.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if peer.failure is not None:
            raise UserError(peer.failure) from None
        logger.info("interrupted; saying goodbye")
        return ExitCode.INTERRUPTED


class Peer:
    """One peer, from the first address to the last step."""

    def __init__(
        self,
        settings: PeerSettings,
        key: IdentityKey,
        behaviour: Behaviour,
        endpoint: MetricsEndpoint | None,
        take_stage: TakeStage | None = None,
        *,
        key_is_new: bool,
    ) -> None:
        self._settings = settings
        self._key = key
        self._behaviour = behaviour
        self._endpoint = endpoint
        self._take_stage = take_stage
        self._key_is_new = key_is_new
        self.failure: str | None = None

    async def run(self) -> int:
        """Join, train, and leave everything clean."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        if self._endpoint is None:
            return await self._join(registry)
        # Served before there is anything to tell: a peer that waits for its coordinator is up.
        async with self._endpoint.serving(registry):
            return await self._join(registry)

    async def _join(self, registry: CollectorRegistry) -> int:
        from btard.peer.assembly import Local, train
        from btard.peer.meeting.joining import NoRunAnnounced

        adopt_libraries()
        task = asyncio.current_task()

        def fail(reason: str) -> None:
            self.failure = reason
            if task is not None:
                task.cancel()

        deadline = asyncio.get_running_loop().time() + self._settings.join_timeout
        while True:
            node, named, acquaintances = await self._meet(fail)
            try:
                local = Local(
                    self._settings,
                    self._key,
                    self._key_is_new,
                    self._behaviour,
                    node,
                    named,
                    registry,
                    acquaintances,
                )
                return await train(local, lambda: self.failure is not None, self._take_stage)
            except NoRunAnnounced:
                if acquaintances is None or asyncio.get_running_loop().time() > deadline:
                    raise
                logger.warning("the members of the last start tell of no run; trying the initial peers again")
            finally:
                await node.close()

    async def _meet(
        self, fail: Callable[[str], None]
    ) -> tuple[Libp2pNode, dict[PeerId, tuple[str, ...]], Acquaintances | None]:
        """Join the swarm of the initial peers; if none of them answers, by the members that this peer knew last."""
        from btard.peer.meeting.acquaintances import Acquaintances
        from btard.transport.libp2p import KeyInUse

        known = Acquaintances.read(self._settings.directory, self._settings.initial_peers)
        maddrs, used = await self._resolve(known)
        try:
            return await self._create(maddrs, fail), _by_peer(maddrs), used
        except UserError as error:
            alive = [] if known is None or isinstance(error, KeyInUse) else await known.alive()
            if not alive:
                raise
            logger.warning("%s; joining by the members of the last start", error)
        return await self._create(alive, fail), _by_peer(alive), known

    async def _create(self, maddrs: Sequence[str], fail: Callable[[str], None]) -> Libp2pNode:
        from btard.transport.libp2p import Libp2pNode

        settings = self._settings
        node = await Libp2pNode.create(
            _identity_path(settings.directory),
            maddrs,
            host_maddrs=listen_maddrs(settings.host, settings.port),
            announce_maddrs=announce_maddrs(settings.announce, settings.port),
            public=settings.public,
            startup_timeout_seconds=settings.join_timeout,
            patience_seconds=settings.join_timeout,
            on_failure=fail,
        )
        if settings.link is not None:
            node.transport.shape(Shaper(LinkConditions.parse(settings.link), bytes(self._key.peer_id)))
        return node

    async def _resolve(self, known: Acquaintances | None) -> tuple[list[str], Acquaintances | None]:
        """Return the multiaddresses of initial peers, once one of them answers, or of members that this peer knew last
        if none does: a coordinator may start after its peers.

        Raises:
            UserError: none has within `--join-timeout`.
        """
        from btard.transport.libp2p import NoAnswer, resolve_initial_peers

        settings, loop = self._settings, asyncio.get_running_loop()
        deadline = loop.time() + settings.join_timeout
        told = ""
        while True:
            try:
                return await resolve_initial_peers(settings.initial_peers, min(settings.join_timeout, 10.0)), None
            except NoAnswer as error:
                if known is not None and (alive := await known.alive()):
                    logger.warning("%s; joining by the members of the last start", error)
                    return alive, known
                if loop.time() > deadline:
                    raise
                if str(error) != told:
                    told = str(error)
                    logger.warning("%s; trying for %.0f s more", told, deadline - loop.time())
            await asyncio.sleep(_RESOLVE_POLL_SECONDS)


def _by_peer(maddrs: Sequence[str]) -> dict[PeerId, tuple[str, ...]]:
    from btard.transport.libp2p.discover import split_maddr

    found: dict[PeerId, tuple[str, ...]] = {}
    for maddr in maddrs:
        peer, _ = split_maddr(maddr)
        found[peer] = (*found.get(peer, ()), maddr)
    return found
