"""The dashboard as a whole: begun beside a coordinator, or alone for a run that is over."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from btard.coordinator.dashboard.feed import PERIOD_SECONDS, Feed
from btard.coordinator.dashboard.model import RunModel
from btard.coordinator.dashboard.server import DashboardServer
from btard.coordinator.dashboard.source import RunSource, attack_start
from btard.swarm.http.address import Address, bind
from btard.swarm.http.guard import PageGuard
from btard.swarm.http.token import make_token, read_token

logger = logging.getLogger(__name__)


class Dashboard:
    """A port that is taken already, so that a bad one is known before anything long begins.

    Args:
        text: where to listen, `:PORT` or `HOST:PORT`.
        token_file: file of the token; None makes a new one where one is needed, that is beyond loopback.

    Raises:
        UserError: nothing can listen there, or the token cannot be had.
    """

    def __init__(self, text: str, token_file: Path | None) -> None:
        address = Address.parse(text)
        self._token = read_token(token_file, "--dashboard-token-file") if token_file is not None else None
        self._made = self._token is None and not address.loopback
        if self._made:
            self._token = make_token()
        self._socket: socket.socket
        self._socket, self.address = bind(address, "--dashboard")

    def close(self) -> None:
        """Give the port back, if `serving` has not."""
        self._socket.close()

    @asynccontextmanager
    async def serving(
        self, directory: Path, period_seconds: float = PERIOD_SECONDS, *, whole: bool = False
    ) -> AsyncIterator[None]:
        """Serve the run in a coordinator's directory, all of it from the first page on if `whole`.

        The address goes to the log; a token that was made here with it, once.
        """
        model, source = RunModel(), RunSource(directory)
        if (attack := attack_start(directory)) is not None:
            model.feed_attack(attack)
        if whole:
            await asyncio.to_thread(source.read_all, model)
        feed = Feed(source, model, period_seconds)
        server = DashboardServer(feed, PageGuard(self._token, self.address.port), source.bans)
        await server.start(self._socket)
        url = self.address.url + (f"?token={self._token}" if self._made else "")
        needs = "; it asks for the token of --dashboard-token-file" if self._token and not self._made else ""
        logger.info("dashboard %s%s", url, needs)
        following = asyncio.ensure_future(feed.run())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await feed.close()
            await server.close()


def replay(directory: Path, dashboard: Dashboard) -> None:
    """Serve a run's directory until SIGINT or SIGTERM."""
    asyncio.run(_replay(directory, dashboard))


async def _replay(directory: Path, dashboard: Dashboard) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with dashboard.serving(directory, whole=True):
        await ended.wait()
