"""Watches the own p2pd: without it every call hangs, so its end must end the peer, with a reason.

hivemind's own `is_alive` stays true and calls through a dead daemon never return, hence both an exit watch and a ping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import Daemon

logger = logging.getLogger(__name__)


class Watchdog:
    """Calls `on_death` once, with a sentence, when p2pd exits or stops answering.

    Args:
        daemon: the daemon to watch.
        on_death: called from the event loop; must not raise.
        period: seconds between pings.
        deadline: seconds that one ping may take.
        misses: unanswered pings in a row that mean a hang; one alone may be a busy machine.
        heartbeat: a file that every answered ping touches, so that others can see from outside that both processes
            live; it is removed by `close`.
    """

    def __init__(
        self,
        daemon: Daemon,
        on_death: Callable[[str], None],
        *,
        period_seconds: float = 5.0,
        deadline: float = 10.0,
        misses: int = 3,
        heartbeat: Path | None = None,
    ) -> None:
        self._daemon = daemon
        self._on_death = on_death
        self._period = period_seconds
        self._deadline = deadline
        self._misses = misses
        self._heartbeat = heartbeat
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching: an end of p2pd is expected from now on."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._heartbeat is not None:
            with contextlib.suppress(OSError):
                self._heartbeat.unlink(missing_ok=True)

    async def _watch(self) -> None:
        ended = asyncio.create_task(self._daemon.wait())
        hung = asyncio.create_task(self._until_hung())
        try:
            await asyncio.wait({ended, hung}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                reason = f"the network daemon p2pd (pid {self._daemon.pid}) {ended.result()}"
            else:
                reason = f"the network daemon p2pd (pid {self._daemon.pid}) does not answer: {hung.result()}"
            logger.error("%s", reason)
            self._on_death(reason)
        finally:
            ended.cancel()
            hung.cancel()

    async def _until_hung(self) -> str:
        missed = 0
        while True:
            try:
                await self._daemon.control.identify(self._deadline)
                missed = 0
                self._beat()
            except DaemonError as error:
                missed += 1
                if missed >= self._misses:
                    return str(error)
            await asyncio.sleep(self._period)

    def _beat(self) -> None:
        if self._heartbeat is not None:
            with contextlib.suppress(OSError):  # a full disk is no reason to leave the swarm
                self._heartbeat.touch()
