"""Tells every client what has changed, from one look at the run's files; no client can hold another or the run up."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from btard.coordinator.dashboard.model import RunModel
from btard.coordinator.dashboard.source import RunSource

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
"""Seconds between two looks."""

MAX_WAITING = 8
"""Messages that a client may be behind; then it is let go, and its browser comes back for everything anew."""

_SOON_SECONDS = 0.1
"""Seconds in which clients that come together share one look."""


class Client:
    """A browser that listens: its messages, in order; None is the last one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING + 1)
        self.begun = False

    def put(self, message: bytes) -> bool:
        """Queue a message; returns whether the client still keeps up."""
        if self.queue.qsize() >= MAX_WAITING:
            return False
        self.queue.put_nowait(message)
        return True


class Feed:
    """Looks at a run and publishes to clients. Looks are done in a thread of their own, one after the other."""

    def __init__(self, source: RunSource, model: RunModel, period_seconds: float = PERIOD_SECONDS) -> None:
        self._source = source
        self._model = model
        self._period_seconds = period_seconds
        self._shown: dict[str, str] = {}
        self._clients: set[Client] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._complains = True
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dashboard")

    def join(self) -> Client:
        """Return a new client, which is told everything first."""
        client = Client()
        self._clients.add(client)
        self._wake.set()
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def has_evidence(self, name: str) -> bool:
        """Whether a ban names this file of `RunSource.bans`."""
        return self._model.evidence(name)

    async def run(self) -> None:
        """Look until cancelled. Whatever goes wrong is told once, and tried again."""
        while True:
            try:
                await self._look()
            except Exception:  # the page is for people to look at: it must never end the run
                if self._complains:
                    logger.exception("the dashboard cannot show the run")
                self._complains = False
            if self._source.behind:
                await asyncio.sleep(_SOON_SECONDS)
                continue
            try:
                async with asyncio.timeout(self._period_seconds):
                    await self._wake.wait()
                await asyncio.sleep(_SOON_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()

    async def close(self) -> None:
        """Tell the clients what there is still to tell, and let them go. Cancel `run` before."""
        try:
            await self._look()
        except Exception:
            logger.debug("no last look", exc_info=True)
        for client in self._clients:
            client.queue.put_nowait(None)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> None:
        newcomers = [client for client in self._clients if not client.begun]
        older = len(newcomers) < len(self._clients)
        loop = asyncio.get_running_loop()
        update, everything = await loop.run_in_executor(self._thread, self._read, older, bool(newcomers))
        for client in list(self._clients):
            message = update if client.begun else everything if client in newcomers else None
            if message is not None and not client.put(message):
                self._clients.discard(client)
                client.queue.put_nowait(None)
            client.begun |= client in newcomers

    def _read(self, older: bool, newcomers: bool) -> tuple[bytes | None, bytes | None]:
        """Read what is new; returns the news for clients that know the rest, and for those that know nothing."""
        self._source.read(self._model)
        if not older and not newcomers:
            return None, None
        sections = {name: dump(value) for name, value in self._model.sections().items()}
        changed = {name: text for name, text in sections.items() if self._shown.get(name) != text}
        self._shown = sections
        series = self._model.series
        if series.changed_from < len(series):
            changed["curves"] = dump(self._model.curves(series.changed_from))
        series.changed_from = len(series)
        update = _message("update", changed) if changed and older else None
        everything = _message("all", sections | {"curves": dump(self._model.curves())}) if newcomers else None
        return update, everything


def dump(value: Any) -> str:
    """Return compact JSON in ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _message(event: str, sections: dict[str, str]) -> bytes:
    body = ",".join(f'"{name}":{text}' for name, text in sections.items())
    return f"event: {event}\ndata: {{{body}}}\n\n".encode("ascii")
