"""Answers what peers ask of the coordinator: the run's manifest, and the state that a resumed run begins with."""

from __future__ import annotations

from typing import Protocol

from btard.hashing import Payload
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.outline import Outlined
from btard.swarm.door.reception import Reception
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import FOR_NEWCOMERS, Question, Want


def sign_manifest(key: IdentityKey, manifest: RunManifest) -> Envelope:
    """Return the manifest as it is handed on from peer to peer."""
    body = manifest.model_dump_json().encode()
    return Envelope.sign(key, run=manifest.run, step=0, kind=MessageKind.MANIFEST, body=body)


class ShownStates(Protocol):
    """States that peers may need from the coordinator."""

    def answer(self, question: Question) -> Payload | None:
        """Return the outline or a chunk of the state that a question names, None where it is none of these."""
        ...


class InitialState:
    """The state at the run's first step, as long as peers may need it from the coordinator."""

    def __init__(self, start_step: int, data: bytes | None) -> None:
        self._start_step = start_step
        self._state = None if data is None else Outlined.of(data)

    def answer(self, question: Question) -> Payload | None:
        """Return what a question about a state asks for, None where it is not here."""
        if question.want is Want.CHUNK:
            return self.chunk(question.known, question.chunk)
        return self.outline(question.step) if question.want is Want.STATE else None

    def outline(self, step: int) -> bytes | None:
        """Return the outline of the state before `step`, None for every other step than the first."""
        return None if self._state is None or step != self._start_step else self._state.outline.encode()

    def chunk(self, digest: str, index: int) -> Payload | None:
        """Return a chunk of the state with this digest."""
        here = self._state is not None and self._state.outline.digest.hex() == digest
        return self._state.chunk(index) if self._state is not None and here else None

    def release(self) -> None:
        """Free the memory: the swarm has moved on, and peers serve what newcomers need."""
        self._state = None


class CoordinatorServer:
    """Answers every question that the coordinator answers."""

    def __init__(self, reception: Reception, states: ShownStates) -> None:
        self._reception = reception
        self._states = states

    async def serve(self, peer: PeerId, request: bytes) -> Payload | None:
        """Answer a fetch, or None to refuse."""
        try:
            question = Question.decode(request)
        except Malformed:
            return None
        if question.want in FOR_NEWCOMERS:
            return await self._reception.answer(peer, question)
        return self._states.answer(question)
