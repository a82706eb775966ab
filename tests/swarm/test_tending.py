"""Work beside the training: a fault in it is told, and neither ends it nor comes up when the daemon ends."""

from __future__ import annotations

import asyncio

import pytest

from btard.swarm import tending
from btard.swarm.tending import tend


async def test_what_fails_is_told_and_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tending, "AGAIN_SECONDS", 0.0)
    begun = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise KeyError("a mistake")
        third.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(tend("knocking", work))
    async with asyncio.timeout(60):
        await third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told = [record for record in caplog.records if record.exc_info is not None]
    assert len(told) == 2 and all("knocking failed" in record.getMessage() for record in told)
