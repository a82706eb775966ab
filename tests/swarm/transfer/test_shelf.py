"""What a peer hands out is made once, bounded in number, and let go when nobody asks."""

from __future__ import annotations

import asyncio

import pytest

from btard import outline as outlines
from btard.outline import Outlined
from btard.swarm.transfer.shelf import IDLE_SECONDS, MOST_STATES, Shelf


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Maker:
    """Serialises one state, and counts how often."""

    def __init__(self, data: bytes) -> None:
        self.state = Outlined.of(data)
        self.calls = 0

    async def __call__(self) -> Outlined:
        self.calls += 1
        await asyncio.sleep(0)
        return self.state

    @property
    def digest(self) -> bytes:
        return self.state.outline.digest


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> list[Maker]:
    monkeypatch.setattr(outlines, "CHUNK_BYTES", 4)
    return [Maker(f"state {number}".encode()) for number in range(4)]


async def test_many_askers_share_one_serialisation(makers: list[Maker]) -> None:
    shelf, maker = Shelf(), makers[0]
    found = await asyncio.gather(*(shelf.outline(maker.digest, maker) for _ in range(5)))
    assert found == [maker.state.outline] * 5 and maker.calls == 1
    assert [bytes(shelf.chunk(maker.digest, index) or b"") for index in range(3)] == [b"stat", b"e 0", b""]
    assert shelf.chunk(makers[1].digest, 0) is None, "its outline was not asked for"


async def test_an_asker_that_leaves_costs_the_others_nothing(makers: list[Maker]) -> None:
    shelf, maker = Shelf(), makers[0]
    impatient = asyncio.ensure_future(shelf.outline(maker.digest, maker))
    patient = asyncio.ensure_future(shelf.outline(maker.digest, maker))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == maker.state.outline and maker.calls == 1


async def test_few_states_are_held_and_the_idlest_goes(makers: list[Maker]) -> None:
    clock = Clock()
    shelf = Shelf(clock)
    for maker in makers[:MOST_STATES]:
        clock.now += 1
        await shelf.outline(maker.digest, maker)
    clock.now += 1
    shelf.chunk(makers[0].digest, 0)
    clock.now += 1
    await shelf.outline(makers[2].digest, makers[2])
    assert [shelf.chunk(maker.digest, 0) is not None for maker in makers[:3]] == [True, False, True]
    assert len(shelf) == MOST_STATES


async def test_what_nobody_asks_for_is_let_go(makers: list[Maker]) -> None:
    clock = Clock()
    shelf = Shelf(clock)
    for maker in makers[:2]:
        await shelf.outline(maker.digest, maker)
    clock.now = IDLE_SECONDS
    shelf.chunk(makers[1].digest, 0)
    clock.now += 1
    shelf.tidy()
    assert [shelf.chunk(maker.digest, 0) is not None for maker in makers[:2]] == [False, True]


async def test_another_state_than_the_wanted_one_is_not_handed_out(makers: list[Maker]) -> None:
    """The trainer has gone on while it was asked."""
    shelf = Shelf()
    assert await shelf.outline(makers[0].digest, makers[1]) is None
    assert len(shelf) == 0 and shelf.chunk(makers[0].digest, 0) is None

    async def nothing() -> None:
        return None

    assert await shelf.outline(makers[0].digest, nothing) is None
    assert await shelf.outline(makers[0].digest, makers[0]) == makers[0].state.outline


async def test_a_failure_is_not_kept(makers: list[Maker]) -> None:
    async def fails() -> Outlined:
        raise OSError("no disk")

    shelf = Shelf()
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            await shelf.outline(makers[0].digest, fails)
    assert await shelf.outline(makers[0].digest, makers[0]) == makers[0].state.outline
