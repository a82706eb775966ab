"""The end of a run: a peer stays until the coordinator has stored the last state; its copy may be the only one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from btard.peer.keeping.held import HeldStates
from btard.swarm.records.record import RosterRecord
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Seconds between two looks."""

TELL_SECONDS = 10.0
"""Seconds after which a peer says again that it waits."""


async def hand_over(
    held: HeldStates, look: Callable[[], Awaitable[RosterRecord | None]], step: int, patience_seconds: float
) -> ExitCode:
    """Wait until the coordinator says that the run is over, and return how this peer ends.

    Args:
        held: holds the last state, the one before `step`.
        look: returns the newest that the coordinator has signed.
        step: the one after the run's last.
        patience_seconds: after so many nobody is waited for any more.
    """
    began = told = time.monotonic()
    while time.monotonic() - began < patience_seconds:
        record = await look()
        if record is not None and record.finished:
            held.release(record.stored)
            if record.stored >= step:
                return ExitCode.FINISHED
            logger.error("the coordinator has ended without the state after the last step; it is %s", held.where(step))
            return ExitCode.FAILED
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            logger.warning(
                "waiting for the coordinator to store the state after the last step, which is %s", held.where(step)
            )
        await asyncio.sleep(POLL_SECONDS)
    logger.error("nobody has stored the state after the last step; it is %s", held.where(step))
    return ExitCode.FAILED
