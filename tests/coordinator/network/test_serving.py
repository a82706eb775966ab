"""What the coordinator answers: the manifest, and the state of the first step as long as it keeps that."""

from __future__ import annotations

from btard.coordinator.network.serving import CoordinatorServer, InitialState, sign_manifest
from btard.outline import Outlined
from btard.swarm.door.reception import Reception
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from tests.coordinator.swarm import identity, manifest

KEY, PEER = identity(0), identity(1).peer_id
RUN = manifest()


async def ask(server: CoordinatorServer, want: Want, step: int = 0) -> bytes | None:
    answer = await server.serve(PEER, Question(want=want, step=step).encode())
    return None if answer is None else bytes(answer)


async def test_the_manifest_with_the_coordinators_signature() -> None:
    signed = sign_manifest(KEY, RUN)
    assert (signed.author, RunManifest.from_envelope(signed)) == (KEY.peer_id, RUN)
    assert await ask(CoordinatorServer(Reception(signed), InitialState(0, None)), Want.MANIFEST) == signed.encode()


async def test_the_initial_state_is_served_until_it_is_released() -> None:
    initial, state = InitialState(8, b"state"), Outlined.of(b"state")
    chunk = Question(want=Want.CHUNK, known=state.outline.digest.hex())
    server = CoordinatorServer(Reception(sign_manifest(KEY, RUN)), initial)
    assert await ask(server, Want.STATE, 8) == state.outline.encode()
    assert bytes(await server.serve(PEER, chunk.encode()) or b"") == b"state"
    for other in (chunk.model_copy(update={"chunk": 1}), chunk.model_copy(update={"known": "00" * 32})):
        assert await server.serve(PEER, other.encode()) is None
    assert await ask(server, Want.STATE, 7) is None
    assert await ask(server, Want.SNAPSHOT, 8) is None
    assert await ask(server, Want.HEAD) is None
    assert await server.serve(PEER, b"\xff{") is None
    initial.release()
    assert await ask(server, Want.STATE, 8) is await server.serve(PEER, chunk.encode()) is None
