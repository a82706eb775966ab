"""What several test files of the peer need: a small run, a network that answers from a table, and peers that ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.roster import Roster, first_randomness
from btard.swarm.manifest import Deadlines, RunManifest
from btard.tasks.data.public import PublicData
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from btard.transport.libp2p import FetchError
from btard.vocabulary import WireType
from tests.btard.round.swarm import keys

KEYS = keys(6)
PEERS = tuple(key.peer_id for key in KEYS)
ROSTER = Roster(5, PEERS[:5], frozenset(), first_randomness(0, 5))
NONCE = bytes.fromhex("00112233445566778899aabbccddeeff")


def run_manifest(**changed: Any) -> RunManifest:
    """Return the manifest of a run on the digits."""
    task = load_task("digits", "tiny")
    fields: dict[str, Any] = {
        "nonce": NONCE.hex(),
        "experiment": "test",
        "task": "digits",
        "size": "tiny",
        "data": PublicData(),
        "fingerprint": task.fingerprint,
        "dimension": TrainingState(task, 0).dimension,
        "batch_size": 8,
        "learning_rate": 0.05,
        "warmup_steps": 0,
        "total_steps": 20,
        "max_grad_norm": 1.0,
        "precision": "none",
        "rule": "centered_clip",
        "tau": 1.0,
        "wire": WireType.FLOAT32,
        "peers": 5,
        "deadlines": Deadlines(),
        "seed": 1,
    }
    return RunManifest.of(fields | changed)


RUN = run_manifest().run


def signed_manifest(key: IdentityKey, body: bytes, *, run: bytes = RUN) -> Envelope:
    """Return a manifest record with any body."""
    return Envelope.sign(key, run=run, step=0, kind=MessageKind.MANIFEST, body=body)


def with_false_signature(envelope: Envelope) -> bytes:
    """Return an envelope's bytes, in whose signature one bit differs."""
    encoded = envelope.encode()
    return encoded[:-1] + bytes([encoded[-1] ^ 1])


Answer = bytes | Exception


@dataclass
class TableTransport:
    """Answers fetches from a table; a peer that is not in it cannot be reached. Caps answers as the real one does."""

    answers: Mapping[PeerId, Answer | Callable[[bytes], Awaitable[bytes | None]]]
    peer_id: PeerId = PEERS[5]
    asked: list[tuple[PeerId, bytes, int]] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)

    async def fetch(self, peer: PeerId, request: bytes, *, limit: int, timeout_seconds: float) -> bytes:
        """See `Libp2pTransport.fetch`."""
        self.patience.append(timeout_seconds)
        self.asked.append((peer, request, limit))
        answer = self.answers.get(peer, FetchError("unreachable"))
        if callable(answer):
            answer = await answer(request) or FetchError("the peer has no answer")
        if isinstance(answer, Exception):
            raise answer
        if len(answer) > limit:
            raise FetchError(f"the answer has {len(answer)} bytes where at most {limit} are allowed")
        return answer


@dataclass
class TableRecords:
    """A DHT that holds what it is given."""

    found: dict[tuple[bytes, MessageKind], dict[PeerId, Envelope]] = field(default_factory=dict)

    @property
    def met(self) -> list[PeerId]:
        """See `Records.met`."""
        return sorted({author for records in self.found.values() for author in records})

    async def read(self, run: bytes, kind: MessageKind, authors: Iterable[PeerId]) -> dict[PeerId, Envelope]:
        """See `Records.read`."""
        found = self.found.get((run, kind), {})
        return {author: found[author] for author in authors if author in found}
