"""What arrives at a peer of a pipeline is bounded for each sender, and strangers' bytes take no memory."""

from __future__ import annotations

import pytest

from btard.identity import IdentityKey, PeerId
from btard.pipeline.live.gate import NOTE_MARK, ROUND_MARK, SEATING_MARK, StageGate, header_of
from btard.pipeline.seats.seating import DRAWN, Seating

PEERS = [IdentityKey.from_seed(bytes([number + 1]) * 32).peer_id for number in range(4)]
COORDINATOR, STRANGER = PEERS[2], PEERS[3]
SEATING = Seating(bytes(16), 1, 0, tuple(PEERS[:2]), (DRAWN,) * 2)
NEXT = Seating(bytes(16), 2, 0, tuple(PEERS[:2]), (DRAWN,) * 2)


class Gate(StageGate):
    """A gate that remembers what it has let in."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        super().__init__(
            COORDINATOR,
            most_message_bytes=100,
            most_pending_bytes=250,
            seated=lambda data: self.heard.append(("seated", data)),
            noted=lambda sender, data: self.heard.append(("noted", data)),
            spoken=lambda sender, data: self.heard.append(("spoken", data)),
            told=lambda sender, data: self.heard.append(("told", data)),
        )
        self.sit(SEATING)

    def send(self, sender: PeerId, count: int, data: bytes, seating: Seating = SEATING) -> bool:
        """Let a whole message arrive; returns whether it was let in."""
        header = header_of(seating.messages_run, count)
        room = self.accept_part(sender, header, len(data))
        if room is None:
            return False
        room[:] = data
        return not self.on_part(sender, header, room, b"")


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_seatings_are_taken_from_the_coordinator_only(gate: Gate) -> None:
    for sender in (PEERS[0], STRANGER):
        gate.on_message(sender, SEATING_MARK + b"x")
    assert gate.heard == []
    gate.on_message(COORDINATOR, SEATING_MARK + b"x")
    assert gate.heard == [("seated", b"x")]


def test_notes_are_taken_from_peers_with_seats_only(gate: Gate) -> None:
    for sender, data in ((STRANGER, b"x"), (COORDINATOR, b"x"), (PEERS[0], bytes(600))):
        gate.on_message(sender, NOTE_MARK + data)
    gate.on_message(PEERS[0], b"")
    gate.on_message(PEERS[0], b"?x")
    assert gate.heard == []
    gate.on_message(PEERS[0], NOTE_MARK + b"x")
    assert gate.heard == [("noted", b"x")]


def test_a_stage_has_a_bounded_number_of_bytes_here(gate: Gate) -> None:
    assert not gate.send(PEERS[0], 0, bytes(101))
    assert [gate.send(PEERS[0], count, bytes(100)) for count in range(3)] == [True, True, False]
    assert gate.send(PEERS[1], 0, bytes(100)), "another one has room of its own"
    gate.release(PEERS[0], 100)
    assert gate.send(PEERS[0], 3, bytes(100))


def test_strangers_and_former_seatings_take_no_memory(gate: Gate) -> None:
    assert not gate.send(STRANGER, 0, b"x")
    assert not gate.send(COORDINATOR, 0, b"x")
    assert not gate.send(PEERS[0], 0, b"x", NEXT)
    for header in (b"", SEATING.messages_run, header_of(SEATING.messages_run, 0) + b"x"):
        assert gate.accept_part(PEERS[0], header, 1) is None
    assert gate.heard == []


def test_what_breaks_off_is_paid_back(gate: Gate) -> None:
    for count in range(20):
        header = header_of(SEATING.messages_run, count)
        assert gate.accept_part(PEERS[0], header, 100) is not None
        assert gate.accept_part(PEERS[0], header, 100) is None, "twice under one header"
        gate.on_part_failed(PEERS[0], header)
    assert gate.send(PEERS[0], 99, bytes(100))


def test_what_was_on_its_way_to_a_former_seating_is_dropped(gate: Gate) -> None:
    header = header_of(SEATING.messages_run, 0)
    room = gate.accept_part(PEERS[0], header, 100)
    assert room is not None
    gate.sit(NEXT)
    assert gate.on_part(PEERS[0], header, room, b"")
    assert gate.heard == []
    assert [gate.send(PEERS[0], count, bytes(100), NEXT) for count in range(3)] == [True, True, False]


def test_notes_about_rows_come_under_a_name_of_their_own(gate: Gate) -> None:
    header = header_of(SEATING.notes_run, 0)
    room = gate.accept_part(PEERS[1], header, 1)
    assert room is not None
    room[:] = b"x"
    assert not gate.on_part(PEERS[1], header, room, b"")
    assert gate.heard == [("told", b"x")]
    assert [gate.send(PEERS[1], count, bytes(100)) for count in (1, 2)] == [True, True], "it was let in for nothing"
    assert not gate.send(PEERS[1], 3, bytes(100)), "notes have room of their own"


class Rounds:
    """The inbox of rounds: remembers what it was brought, and takes parts of up to 10 bytes."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def on_message(self, sender: PeerId, data: bytes) -> None:
        self.heard.append(("message", data))

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        return memoryview(bytearray(length)) if length <= 10 else None

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
        self.heard.append(("part", bytes(payload)))
        return False

    def on_part_failed(self, sender: PeerId, header: bytes) -> None:
        self.heard.append(("failed", header))


def test_what_is_of_a_round_goes_to_the_rounds_of_the_seating(gate: Gate) -> None:
    first, long_header = Rounds(), bytes(100)
    gate.rounds = first
    gate.on_message(PEERS[0], ROUND_MARK + b"x")
    gate.on_message(STRANGER, ROUND_MARK + b"x")
    assert first.heard == [("message", b"x")]
    assert gate.accept_part(STRANGER, long_header, 5) is None
    assert gate.accept_part(PEERS[0], long_header, 11) is None
    room = gate.accept_part(PEERS[0], long_header, 5)
    assert room is not None and gate.accept_part(PEERS[0], long_header, 5) is None
    broken = bytes(101)
    assert gate.accept_part(PEERS[1], broken, 5) is not None
    gate.sit(NEXT)
    second = Rounds()
    gate.rounds = second
    gate.on_part(PEERS[0], long_header, room, b"")
    gate.on_part_failed(PEERS[1], broken)
    assert first.heard[1:] == [("part", bytes(5)), ("failed", broken)], "another one gets what the first let in"
    assert second.heard == [] and gate.heard == []
