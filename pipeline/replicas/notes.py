"""What stages of different pipelines tell each other about rows: headers, and rows that one of them lacks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from btard.identity import Malformed
from btard.identity.codec import Reader, encode
from btard.pipeline.machine.messages import MAX_STAGE_PAYLOAD, StageMessageKind
from btard.pipeline.replicas.rows import ROW_KINDS
from btard.vocabulary import MAX_STEPS

NOTE_FRAME = 64
"""Bytes of a note beside its content."""


class RowNoteKind(IntEnum):
    """What a note says. Its content is what stands there."""

    HEADER = 1
    """The author has told its pipeline a row: the signed header."""
    HEADER_ASKED = 2
    """The author lacks the header of the receiver's row: nothing."""
    ROW = 3
    """A row, for one that has asked."""
    ROW_ASKED = 4
    """The author lacks the receiver's row: its digest."""


@dataclass(frozen=True, slots=True)
class RowNote:
    """One note; the connection proves its author.

    Attributes:
        kind: what it says.
        row: which row of a stage it is about.
        step: of the row.
        content: see `RowNoteKind`.
    """

    kind: RowNoteKind
    row: StageMessageKind
    step: int
    content: bytes = b""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([int(self.kind), int(self.row), self.step, self.content])

    @classmethod
    def decode(cls, data: bytes) -> RowNote:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_STAGE_PAYLOAD + NOTE_FRAME)
        fields.fields(4)
        kind = RowNoteKind(fields.number(min(RowNoteKind), max(RowNoteKind)))
        row = StageMessageKind(fields.number(min(StageMessageKind), max(StageMessageKind)))
        note = cls(kind, row, fields.number(0, MAX_STEPS), fields.blob(most=MAX_STAGE_PAYLOAD))
        fields.end()
        if row not in ROW_KINDS:
            raise Malformed("a note about what is no row")
        return note
