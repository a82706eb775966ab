"""A whole step of a stage, computed again by the stage that was drawn for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from btard.hashing import digest
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_list, decode, encode
from btard.pipeline.justice.accusation import Accusation, Claim, place_of
from btard.pipeline.justice.case import MAX_CASE, CasePiece, StageCase
from btard.pipeline.justice.judgement import CaseUnfounded, check_piece, retrial_of, tied_copies
from btard.pipeline.machine.messages import MAX_MICRO_BATCHES, SignedHeader, StageMessage, StageMessageKind
from btard.pipeline.machine.shown import ShownMessage
from btard.pipeline.schedule.loss_scale import MAX_SCALE
from btard.pipeline.schedule.state import StageState
from btard.pipeline.step.rows import transcript


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a stage shows of its step to the one that is drawn to check it.

    Attributes:
        state: before the step.
        pieces: all micro-batches.
    """

    state: StageState
    pieces: Sequence[CasePiece]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        state = self.state
        return encode([state.weights, state.optimizer, state.scale, [piece.pack() for piece in self.pieces]])

    @classmethod
    def decode(cls, data: bytes) -> StepRecord:
        """Read bytes of a stranger; raises Malformed."""
        weights, optimizer, scale, pieces = as_fields(decode(data, limit=MAX_CASE), 4)
        state = StageState(
            as_bytes(weights, most=MAX_CASE), as_bytes(optimizer, most=MAX_CASE), as_bytes(scale, most=MAX_SCALE)
        )
        return cls(state, [CasePiece.unpack(piece) for piece in as_list(pieces, most=MAX_MICRO_BATCHES)])


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """An accusation, and the message that it is about, if that is known whole."""

    accusation: Accusation
    said: StageMessage | None


def find_wrong(
    case: StageCase,
    audited: int,
    at: tuple[int, int],
    witnessed: Mapping[tuple[StageMessageKind, int], ShownMessage],
    rows: Mapping[StageMessageKind, StageMessage],
) -> AuditFinding | None:
    """Compute a stage's step again, and return the first thing that it has not said as it should.

    Args:
        case: with the stage's record, its pledge and the rows of all about tied weights.
        audited: the stage.
        at: step and attempt.
        witnessed: what its neighbours were sent, by kind and micro-batch.
        rows: what it has told all.

    Raises:
        CaseUnfounded: the record lacks something, or is about something else.
        Malformed: it is not one.
    """
    retrial, given, back = retrial_of(case, audited, at[0]), [], []
    if [piece.number for piece in case.pieces] != list(range(case.facts.model.micro_batches)):
        raise CaseUnfounded("micro-batches are missing")
    samples = [list(ids) for ids in case.samples]
    for piece in case.pieces:
        check_piece(case, piece, audited, at, gradients=True)
        for kind, header in (
            (StageMessageKind.ACTIVATION, piece.activation),
            (StageMessageKind.GRADIENT, piece.gradient),
        ):
            shown = witnessed.get((kind, piece.number))
            if header is not None and shown is not None and shown.signed.header != header.header:
                return AuditFinding(two_faced(header, shown.signed), None)
        own = retrial.activation(piece, case.batches[piece.number], samples[piece.number])
        if piece.activation is not None:
            shown = witnessed[StageMessageKind.ACTIVATION, piece.number]
            if not _same(own, shown, lambda told, p=piece, o=own: retrial.same_forward(p, samples[p.number], o, told)):
                return AuditFinding(Accusation(Claim.ACTIVATION, piece.activation), None)
    for piece in case.pieces:
        own = retrial.gradient(piece, samples[piece.number])
        if piece.gradient is not None:
            shown = witnessed[StageMessageKind.GRADIENT, piece.number]
            if not _same(own, shown, lambda told, o=own: retrial.same_back(o, told)):
                return AuditFinding(Accusation(Claim.GRADIENT, piece.gradient), None)
        given += [] if piece.given is None else [piece.given.header.payload]
        back += [] if piece.back is None else [piece.back.header.payload]
    for kind, claim in ((StageMessageKind.TIED, Claim.TIED), (StageMessageKind.NORMS, Claim.NORMS)):
        if kind not in rows:
            continue  # the stage does not learn in this attempt
        message = rows[kind]
        copies = None if kind is StageMessageKind.TIED else tied_copies(case, retrial, at[1])
        expected, told = retrial.rows(copies), retrial.exchange.read_row(message.payload)
        if message.header.kept != transcript(given, back):
            if audited == 0:
                raise CaseUnfounded("the record is not of what the stage has computed from")
            return AuditFinding(Accusation(claim, message.signed), message)
        if len(told) != len(expected) or not case.facts.comparison.same(expected, told):
            return AuditFinding(Accusation(claim, message.signed), message)
    return None


def two_faced(one: SignedHeader, other: SignedHeader) -> Accusation:
    """Return the accusation that two headers make; raises CaseUnfounded where they are about different places."""
    if place_of(one.header) != place_of(other.header):
        raise CaseUnfounded("headers of different places")
    return Accusation(Claim.TWO_FACED, one, other)


def _same(own: bytes, shown: ShownMessage, compare: object) -> bool:
    """Whether what was sent counts as the own computation."""
    if not shown.payload:
        return digest(own) == shown.signed.header.payload
    try:
        return bool(compare(shown.payload))  # type: ignore[operator]
    except Malformed:
        return False
