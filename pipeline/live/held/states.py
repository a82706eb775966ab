"""The states of stages that a peer holds, by their digests: its own, and those that it keeps for others."""

from __future__ import annotations

from dataclasses import dataclass

from btard.hashing import Payload
from btard.outline import Outline
from btard.pipeline.seats.statements import MAX_STATES


@dataclass(frozen=True)
class StoredState:
    """A state with what is asked of it.

    Attributes:
        stage: of which.
        step: before which.
        outline: digests of its chunks.
        data: its bytes.
    """

    stage: int
    step: int
    outline: Outline
    data: Payload

    @classmethod
    def of(cls, stage: int, step: int, data: Payload) -> StoredState:
        """Return a state with its digests, which takes as long as reading it."""
        return cls(stage, step, Outline.of((data,)), data)

    @property
    def digest(self) -> bytes:
        """The digest of the whole."""
        return self.outline.digest

    def chunk(self, index: int) -> memoryview | None:
        """Return a chunk, None where there is none of this number."""
        start, end = self.outline.chunk(index)
        return memoryview(self.data)[start:end] if 0 <= start < end else None


class StateShelf:
    """Holds a few states; of too many, the oldest are let go."""

    def __init__(self) -> None:
        self._held: dict[bytes, StoredState] = {}

    def put(self, state: StoredState) -> None:
        """Hold a state."""
        self._held[state.digest] = state
        while len(self._held) > MAX_STATES:
            del self._held[min(self._held, key=lambda digest: self._held[digest].step)]

    def forget(self, before: int) -> None:
        """Let go of the states before steps that are earlier than this one."""
        self._held = {digest: state for digest, state in self._held.items() if state.step >= before}

    @property
    def digests(self) -> list[bytes]:
        """The digests of all states, the newest first."""
        return sorted(self._held, key=lambda digest: -self._held[digest].step)

    def get(self, digest: bytes) -> StoredState | None:
        """Return a state, None if it is not here."""
        return self._held.get(digest)

    def outline(self, known: str) -> bytes | None:
        """Return the outline of the state with a digest in hex, as a question names it."""
        state = self._find(known)
        return None if state is None else state.outline.encode()

    def chunk(self, known: str, index: int) -> memoryview | None:
        """Return a chunk of a state, None where there is none."""
        state = self._find(known)
        return None if state is None else state.chunk(index)

    def _find(self, known: str) -> StoredState | None:
        try:
            return self._held.get(bytes.fromhex(known))
        except ValueError:
            return None
