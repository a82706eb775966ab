"""Work in the background is held while it lasts, and its errors are heard."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from btard.pipeline.live.background import Background


async def test_work_that_nobody_awaits_is_held() -> None:
    background, may_go_on, done = Background(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_go_on.wait()
        done.set()

    background.start(work())
    await asyncio.sleep(0)
    gc.collect()
    may_go_on.set()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0)
    assert background.cancel() == ()


async def test_what_is_cancelled_ends_without_a_word() -> None:
    heard = hear_errors()
    background = Background()
    background.start(asyncio.Event().wait())  # type: ignore[arg-type]
    left = background.cancel()
    assert len(left) == 1
    await asyncio.gather(*left, return_exceptions=True)
    assert left[0].cancelled() and heard == []


async def test_an_error_goes_to_the_loop() -> None:
    heard = hear_errors()

    async def fails() -> None:
        raise ValueError("broken")

    await asyncio.wait([Background().start(fails())])
    await asyncio.sleep(0)
    assert [str(context["exception"]) for context in heard] == ["broken"]


def hear_errors() -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard
