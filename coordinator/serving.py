"""Serves the training state that a resumed run begins with."""

from __future__ import annotations

from btard.identity import Malformed, PeerId
from peer.questions import Question, Want


class InitialState:
    """The state at the run's first step, as long as peers may need it from the coordinator."""

    def __init__(self, start_step: int, data: bytes | None) -> None:
        self._start_step = start_step
        self._data = data

    async def serve(self, peer: PeerId, request: bytes) -> bytes | None:
        """Answer a fetch: the state at the first step, or None for everything else."""
        try:
            question = Question.decode(request)
        except Malformed:
            return None
        return self._data if question.want is Want.STATE and question.step == self._start_step else None

    def release(self) -> None:
        """Free the memory: the swarm has moved on, and peers serve what newcomers need."""
        self._data = None
