"""What a coroutine is charged for: its own processor time, and nothing of what runs while it waits."""

from __future__ import annotations

import asyncio

import pytest

from btard.transport.libp2p.measured import measured
from tests.btard.transport.libp2p.conftest import burn, until


async def test_only_the_own_stretches_are_counted() -> None:
    spent: list[float] = []
    others_ran = asyncio.Event()

    async def work() -> None:
        burn(0.02)
        await others_ran.wait()
        burn(0.02)

    task = asyncio.create_task(measured(work, spent.append))
    await until(lambda: spent)
    burn(0.2)
    others_ran.set()
    await task
    assert len(spent) == 2 and all(0.02 <= seconds < 0.1 for seconds in spent)


async def test_timeouts_cancellation_and_errors_reach_the_work() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append("timeout")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    task = asyncio.create_task(measured(work, lambda seconds: None))
    await until(lambda: ended)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["timeout", "cancelled"]

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await measured(broken, lambda seconds: None)
