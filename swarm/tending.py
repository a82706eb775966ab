"""Work beside the training that goes on as long as a daemon does: a fault in it ends neither it nor the daemon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
"""Seconds after which work that has failed begins again."""


async def tend(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work that nobody waits for, until cancelled: if it fails, the log tells why, and it begins again.

    Args:
        what: names it in the log, as in "announcing this peer".
        work: never returns by itself; may be called again after it has raised.
    """
    while True:
        try:
            return await work()
        except Exception:
            logger.exception("%s failed; it begins again in %g s", what, AGAIN_SECONDS)
        await asyncio.sleep(AGAIN_SECONDS)
