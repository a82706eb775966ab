"""The exchange of one peer of twelve, and what others ask of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from btard.behaviour import Behaviour
from btard.identity import Envelope, MessageKind
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pace import Pace
from btard.round.attempt.seats import Seats
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.messages.bodies import Commit, PartHeader, Reveal
from btard.round.messages.requests import Item, Pull
from btard.round.work.rows import encode_parts
from tests.btard.round.swarm import RULES, Swarm, keys

COUNT = 12
KEYS = keys(COUNT)
PEERS = tuple(key.peer_id for key in KEYS)
ROSTER = Swarm(COUNT).genesis
D = bytes(32)
OWNED = Seats(RULES, ROSTER, 0, PEERS, PEERS[0]).part_of[PEERS[2]]
"""The part that the third peer owns."""


def exchange(me: int = 0) -> tuple[Exchange, Attempt]:
    """Return the exchange of a peer that has committed to zeros."""
    attempt = Attempt(Seats(RULES, ROSTER, 0, PEERS, PEERS[me]))
    step = StepContext(RULES, ROSTER, KEYS[me], Behaviour(), D, (), None, Pace(RULES.delay_bound_seconds))
    parts, digests = encode_parts(torch.zeros(RULES.dimension), COUNT, RULES.wire, RULES.aggregation)
    for part, payload in enumerate(parts):
        attempt.carried.rows[PEERS[me], part] = payload
    attempt.said.commits[PEERS[me]] = Commit(attempt.seats.attempt_id, D, D, digests, D, b"", ())
    return Exchange(step, attempt), attempt


def hold(attempt: Attempt, author: int, parts: Iterable[int]) -> None:
    """Let the peer hold parts of another."""
    for part in parts:
        attempt.carried.rows[PEERS[author], part] = memoryview(bytearray(16))
        header = PartHeader(part, D).encode()
        attempt.said.headers[PEERS[author], part] = signed(author, MessageKind.PART, header)


def signed(author: int, kind: MessageKind, body: bytes) -> Envelope:
    return Envelope.sign(KEYS[author], run=RULES.run, step=0, kind=kind, body=body)


def asked(author: int, kind: MessageKind, owner: int, part: int) -> Envelope:
    body = Pull(((kind, PEERS[owner], part),)).encode()
    return Envelope.sign(KEYS[author], run=RULES.run, step=0, kind=MessageKind.PULL, body=body)


def reveal(author: int) -> Envelope:
    return signed(author, MessageKind.REVEAL, Reveal(D, D).encode())


def numbered(item: Item) -> tuple[MessageKind, int, int]:
    kind, author, part = item
    return kind, PEERS.index(author), part
