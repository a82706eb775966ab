"""The targets: each takes any bytes and returns, or raises what no stranger may make a peer raise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache

import torch

from btard.behaviour import Behaviour
from btard.hashing import Payload, digest
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.identity.codec import decode, encode
from btard.pipeline.machine.messages import StageHeader
from btard.pipeline.replicas.notes import RowNote
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import SeatNote, Stance, StateClaim
from btard.reunion.messages import Memory, Place
from btard.round.actions import Action, CheckOpening, ComputeGradient, Examine, Task
from btard.round.delivery.exchange import MOST_PULLS
from btard.round.evidence import file as evidence_file
from btard.round.messages.accusations import Opinion, Relay, Report, Vote
from btard.round.messages.bodies import Aggregate, Commit, Digest, Leave, PartHeader, Reveal, Scalars
from btard.round.messages.requests import Certificate, Forward, Pull
from btard.round.proof import Unproven, verify
from btard.round.roster import Roster
from btard.round.session import Session
from btard.round.work.answers import Answer, GradientComputed, OpeningChecked, TargetExamined
from btard.round.work.examination import UNKNOWN
from btard.round.work.execute import execute
from btard.tensors import bytes_of
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm, keys, seeded_gradient

COUNT = 4
KEYS = keys(COUNT)
PEERS = tuple(key.peer_id for key in KEYS)
STRANGER = IdentityKey.from_seed(digest(b"stranger"))
BODIES = (
    Commit, PartHeader, Aggregate, Reveal, Scalars, Pull, Digest, Leave, Certificate, Report, Vote, Relay, Forward,
    Memory, Place,
)  # fmt: skip
MOST_EVENTS = 120


def roster(data: bytes) -> None:
    """Read a roster, and write it back as it was."""
    value = decode(data, limit=1 << 20)
    assert encode(Roster.unpack(value).pack()) == data


def envelope(data: bytes) -> None:
    """Read an envelope with and without its signature."""
    assert Envelope.parse(data).encode() == data
    assert Envelope.decode(data).encode() == data


def evidence(data: bytes) -> None:
    """Read an evidence file, and check it."""
    with contextlib.suppress(Unproven):
        verify(evidence_file.from_json(data))


def body_of(kind: type) -> Callable[[bytes], None]:
    """Return the target that reads one kind of body."""

    def read(data: bytes) -> None:
        assert kind.decode(data).encode() == data  # type: ignore[attr-defined]

    return read


def seating(data: bytes) -> None:
    """Read what a coordinator signs of a pipeline, without its signature."""
    Seating._read(data)


STAGE_BODIES = (StageHeader, StateClaim, SeatNote, Stance, RowNote)
"""What peers of a pipeline tell each other."""

DECODERS: tuple[Callable[[bytes], None], ...] = (
    *map(body_of, BODIES), roster, envelope, evidence, *map(body_of, STAGE_BODIES), seating,
)  # fmt: skip


def decoders(data: bytes) -> None:
    """Let one decoder, which the first byte chooses, read the rest: Malformed is the only exception."""
    if data:
        with contextlib.suppress(Malformed):
            DECODERS[data[0] % len(DECODERS)](data[1:])


class _Recorder(SimulatedPeer):
    """Records what reaches the first peer of an honest swarm."""

    messages: list[tuple[PeerId, bytes]]
    parts: list[tuple[PeerId, bytes, bytes]]

    def receive(self, sender: PeerId, data: bytes) -> None:
        if self.peer_id == PEERS[0]:
            self.messages.append((sender, data))
        super().receive(sender, data)

    def send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
        if receiver == PEERS[0]:
            self.parts.append((self.peer_id, header.encode(), bytes(payload)))
        super().send_part(receiver, header, payload)


@cache
def recording() -> tuple[Swarm, list[tuple[PeerId, bytes]], list[tuple[PeerId, bytes, bytes]]]:
    """Return an honest step, and everything that its first peer was sent in it."""
    messages: list[tuple[PeerId, bytes]] = []
    parts: list[tuple[PeerId, bytes, bytes]] = []

    def recorder(*arguments, **named):  # type: ignore[no-untyped-def]
        peer = _Recorder(*arguments, **named)
        peer.messages, peer.parts = messages, parts
        return peer

    swarm = Swarm(COUNT, steps=1, peer_type=recorder).run()
    return swarm, messages, parts


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        value = self._data[self._at] if self.left else 0
        self._at += 1
        return value % below

    def some(self) -> bytes:
        length = self.number(64)
        self._at += length
        return self._data[self._at - length : self._at]


class World:
    """The first peer of the recorded step, whose driver answers when it is told to."""

    def __init__(self) -> None:
        swarm, self.messages, self.parts = recording()
        self.rules = swarm.peers[0].rules
        self.session = Session(self.rules, KEYS[0], Behaviour())
        self.now = 0.0
        self.asked: list[Task] = []
        zeros = torch.zeros(self.rules.dimension)
        self.vector = seeded_gradient(swarm.genesis.batch_seed(PEERS[0]), zeros)
        self.do(self.session.begin(0.0, swarm.genesis, digest(bytes_of(zeros))))

    def do(self, actions: list[Action]) -> None:
        """Remember what the session has asked its driver for."""
        self.asked += [action for action in actions if isinstance(action, Task)]

    def work(self) -> None:
        """Answer the oldest question."""
        if not self.asked:
            return
        match self.asked.pop(0):
            case ComputeGradient(roster):
                answer: Answer = GradientComputed(roster.step, self.vector)
            case Examine(step, target):
                answer = TargetExamined(step, target, UNKNOWN)
            case CheckOpening(step, debt):
                answer = OpeningChecked(step, debt.validator, Opinion.UNSURE)
            case action:
                answer = execute(action, self.rules)
        self.do(self.session.answer(self.now, answer))

    def send_part(self, sender: PeerId, header: bytes, payload: bytes, *, breaks: bool) -> None:
        """Let a part arrive, or break off."""
        buffer = self.session.accept_part(sender, header, len(payload))
        if buffer is not None and breaks:
            self.do(self.session.on_part_failed(self.now, sender, header))
        elif buffer is not None:
            assert len(buffer) == len(payload)
            buffer[:] = payload
            self.session.on_part(sender, header, digest(payload))

    def check(self) -> None:
        """Assert that what is kept has not grown without bound."""
        session = self.session
        assert sum(map(len, session._early.values())) <= 16 * (2 * COUNT + 8)
        assert session.machine is not None
        machine, attempt = session.machine, session.machine.attempt
        most = len(MessageKind) * COUNT
        assert sum(map(len, machine._intake._future.values())) <= most + 8 * COUNT
        assert len(attempt.said.signed) <= most
        assert len(attempt.carried.rows) + len(attempt.carried.in_flight) <= 3 * COUNT * COUNT
        assert len(attempt.said.headers) <= COUNT * COUNT
        heard = machine._settlement.heard
        assert max(len(heard._reports), len(heard.left)) <= COUNT
        assert len(machine._settlement._reports._ledger.accepted) <= 2 * COUNT
        assert len(machine._settlement._early) <= (4 + 32 + 12 * COUNT) * COUNT
        assert sum(map(len, machine.exchange._waiting.values())) <= COUNT * (6 * COUNT + MOST_PULLS)


def events(data: bytes) -> None:
    """Let a session hear what the bytes choose: true messages, changed ones with true signatures, and noise."""
    world, reader = World(), _Reader(data)
    for _ in range(MOST_EVENTS):
        if not reader.left:
            break
        event = reader.number(8)
        if event in (3, 6) and world.session.wants_tick:
            world.do(world.session.tick(world.now))  # as a driver does once it has handed over what there is
        match event:
            case 0 | 1:
                sender, message = world.messages[reader.number(len(world.messages))]
                world.do(world.session.on_message(world.now, sender, message))
            case 2:
                world.send_part(*world.parts[reader.number(len(world.parts))], breaks=reader.number(8) == 0)
            case 3:
                world.work()
            case 4:
                _, message = world.messages[reader.number(len(world.messages))]
                _say(world, reader, Envelope.decode(message), reader.number(COUNT))
            case 5:
                key = (*KEYS, STRANGER)[reader.number(COUNT + 1)]
                kind = list(MessageKind)[reader.number(len(MessageKind))]
                place = {"step": reader.number(3), "attempt": reader.number(3)}
                made = Envelope.sign(key, run=world.rules.run, kind=kind, body=reader.some(), **place).encode()
                world.do(world.session.on_message(world.now, key.peer_id, made))
                world.send_part(key.peer_id, made, bytes(reader.number(64)), breaks=bool(reader.number(2)))
                world.session.on_part(key.peer_id, made, digest(b""))
            case 6:
                world.now += (0.01, 0.5, 3.0, 30.0)[reader.number(4)]
                world.do(world.session.tick(world.now))
            case 7:
                noise = reader.some()
                world.do(world.session.on_message(world.now, PEERS[1], noise))
                world.send_part(PEERS[1], noise, noise, breaks=False)
                world.do(world.session.on_part_failed(world.now, PEERS[1], noise))
    world.check()


def _say(world: World, reader: _Reader, true: Envelope, author: int) -> None:
    """Change a recorded body in a few bytes, and let any member sign it."""
    body = bytearray(true.body)
    for _ in range(reader.number(4)):
        if body:
            body[(reader.number(256) * 256 + reader.number(256)) % len(body)] ^= reader.number(256)
    key = KEYS[author]
    said = Envelope.sign(
        key, run=true.run, step=true.step, attempt=reader.number(3), kind=true.kind, body=bytes(body)
    ).encode()
    world.do(world.session.on_message(world.now, key.peer_id, said))


TARGETS: dict[str, Callable[[bytes], None]] = {"decoders": decoders, "events": events}
