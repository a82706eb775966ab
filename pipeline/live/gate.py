"""What arrives at a peer of a pipeline: bounded for each sender, and strangers' bytes take no memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from btard.identity import PeerId
from btard.identity.envelope import RUN_ID_SIZE
from btard.pipeline.seats.seating import MAX_SEATING, Seating
from btard.pipeline.seats.statements import MAX_NOTE
from btard.transport.base import Inbox

SEATING_MARK, NOTE_MARK, ROUND_MARK = b"S", b"N", b"A"
"""The first byte of a control message; what follows the last one is of the round of a stage's replicas."""

_COUNTER_SIZE = 8
HEADER_SIZE = RUN_ID_SIZE + _COUNTER_SIZE


def header_of(run: bytes, count: int) -> bytes:
    """Return what goes before the `count`-th message or note that a peer sends in a seating, under the name of either.

    What comes in a round of replicas has longer headers.
    """
    return run + count.to_bytes(_COUNTER_SIZE, "big")


@dataclass
class StageGate:
    """The inbox of a peer's transport.

    Attributes:
        coordinator: the only peer that seatings are taken from.
        most_message_bytes: of a message of a stage.
        most_pending_bytes: that one stage may have here which nobody has looked at yet.
        seated: is told of a seating's bytes.
        noted: is told of the sender and the bytes of a note.
        spoken: is told of the sender and the bytes of a stage's message; `release` is to follow.
        told: likewise of a note about rows.
        rounds: the inbox of the rounds that this peer takes part in with the replicas of its stage; None if in none.
    """

    coordinator: PeerId
    most_message_bytes: int
    most_pending_bytes: int
    seated: Callable[[bytes], None]
    noted: Callable[[PeerId, bytes], None]
    spoken: Callable[[PeerId, bytes], None]
    told: Callable[[PeerId, bytes], None]
    rounds: Inbox | None = None
    _seating: Seating | None = None
    _pending: Counter[PeerId] = field(default_factory=Counter)
    _arriving: dict[tuple[PeerId, bytes], int] = field(default_factory=dict)
    _arriving_in_rounds: dict[tuple[PeerId, bytes], Inbox] = field(default_factory=dict)

    def sit(self, seating: Seating) -> None:
        """Take in what the stages of a seating say, and nothing else, from now on."""
        self._seating, self.rounds = seating, None

    def release(self, sender: PeerId, size: int) -> None:
        """So many bytes of a sender have been looked at."""
        self._pending[sender] -= size
        if self._pending[sender] <= 0:
            del self._pending[sender]

    def on_message(self, sender: PeerId, data: bytes) -> None:
        """A control message has arrived."""
        mark, body = data[:1], data[1:]
        if mark == SEATING_MARK and sender == self.coordinator and len(body) <= MAX_SEATING:
            self.seated(body)
        elif mark == NOTE_MARK and self._has_seat(sender) and len(body) <= MAX_NOTE:
            self.noted(sender, body)
        elif mark == ROUND_MARK and self.rounds is not None and self._has_seat(sender):
            self.rounds.on_message(sender, body)

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        """Return room for a message of a stage; None if it is of no use, or if its sender has too many here."""
        if len(header) > HEADER_SIZE:
            return self._accept_in_round(sender, header, length)
        if not self._is_of_now(header) or not self._has_seat(sender) or (sender, header) in self._arriving:
            return None
        if length > self.most_message_bytes or self._pending[sender] + length > self.most_pending_bytes:
            return None
        self._pending[sender] += length
        self._arriving[sender, header] = length
        return memoryview(bytearray(length))

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
        """A message of a stage is here; returns whether it is of no use any more."""
        if len(header) > HEADER_SIZE:
            return self._arriving_in_rounds.pop((sender, header)).on_part(sender, header, payload, digest)
        del self._arriving[sender, header]
        if not self._is_of_now(header):
            self.release(sender, len(payload))
            return True
        assert self._seating is not None
        heard = self.spoken if header.startswith(self._seating.messages_run) else self.told
        heard(sender, bytes(payload))
        return False

    def on_part_failed(self, sender: PeerId, header: bytes) -> None:
        """A message breaks off."""
        if len(header) > HEADER_SIZE:
            self._arriving_in_rounds.pop((sender, header)).on_part_failed(sender, header)
            return
        self.release(sender, self._arriving.pop((sender, header)))

    def _accept_in_round(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        rounds, place = self.rounds, (sender, header)
        if rounds is None or not self._has_seat(sender) or place in self._arriving_in_rounds:
            return None
        room = rounds.accept_part(sender, header, length)
        if room is not None:
            self._arriving_in_rounds[place] = rounds
        return room

    def _is_of_now(self, header: bytes) -> bool:
        run, seating = header[:RUN_ID_SIZE], self._seating
        return seating is not None and len(header) == HEADER_SIZE and run in (seating.messages_run, seating.notes_run)

    def _has_seat(self, sender: PeerId) -> bool:
        return self._seating is not None and sender in self._seating.seats
