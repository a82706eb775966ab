"""A state as a peer gets it from a coordinator, chunk by chunk."""

from __future__ import annotations

from btard.outline import CHUNK_BYTES, Outline
from btard.pipeline.live.held.first_states import FirstStates
from btard.swarm.questions import Question, Want


def whole(states: FirstStates, digest: bytes) -> bytes:
    """Ask for a state, and return it once its digest is right."""
    outline = states.answer(Question(want=Want.STATE, known=digest.hex()))
    assert outline is not None
    read, data = Outline.decode(bytes(outline), 1 << 30), b""
    while len(data) < read.size:
        chunk = states.answer(Question(want=Want.CHUNK, known=digest.hex(), chunk=len(data) // CHUNK_BYTES))
        assert chunk is not None
        data += bytes(chunk)
    assert read.digest == Outline.of((data,)).digest == digest
    return data
