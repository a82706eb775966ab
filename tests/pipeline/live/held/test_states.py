"""States that may be asked for: by their digests, chunk by chunk, the newest few."""

from __future__ import annotations

import pytest

from btard.outline import CHUNK_BYTES, Outline
from btard.pipeline.live.held.states import StateShelf, StoredState
from btard.pipeline.seats.statements import MAX_STATES


def shelf_of(count: int) -> tuple[StateShelf, list[StoredState]]:
    shelf, states = StateShelf(), [StoredState.of(0, step, bytes([step]) * 10) for step in range(count)]
    for state in states:
        shelf.put(state)
    return shelf, states


def test_a_state_is_shown_chunk_by_chunk() -> None:
    data = bytes(CHUNK_BYTES) + b"end"
    state, shelf = StoredState.of(1, 4, data), StateShelf()
    shelf.put(state)
    known = state.digest.hex()
    assert Outline.decode(shelf.outline(known) or b"", len(data)) == state.outline
    assert [bytes(shelf.chunk(known, index) or b"") for index in (0, 1)] == [data[:CHUNK_BYTES], b"end"]
    assert shelf.chunk(known, 2) is None


@pytest.mark.parametrize("known", ["", "zz", "00" * 32, "é"])
def test_what_is_not_here_is_not_shown(known: str) -> None:
    shelf, _ = shelf_of(1)
    assert shelf.outline(known) is None and shelf.chunk(known, 0) is None


def test_old_states_are_let_go() -> None:
    shelf, states = shelf_of(6)
    shelf.forget(4)
    assert shelf.digests == [states[5].digest, states[4].digest]


def test_of_too_many_states_the_oldest_go() -> None:
    shelf, states = shelf_of(MAX_STATES + 3)
    assert len(shelf.digests) == MAX_STATES
    assert shelf.get(states[2].digest) is None and shelf.get(states[3].digest) is states[3]
