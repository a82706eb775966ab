"""Which of two stages has lied: the accused, or its accuser. The same case gives everybody the same answer.

All that the accused's step follows from is signed: its state by its pledge, what it was sent by the senders, what it
has computed from that and what it kept by its own headers. So every holder of the case can compute the step again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.pipeline.codecs import NotFinite
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.justice.case import CasePiece, FiledCase, StageCase
from btard.pipeline.justice.retrial import Retrial, back_codec, shown_boundary
from btard.pipeline.machine.messages import NOTHING, SignedHeader, StageMessage, StageMessageKind
from btard.pipeline.schedule.state import StageState, state_digest
from btard.pipeline.step.channels import decode_back
from btard.pipeline.step.rows import transcript
from btard.pipeline.step.sealing import Pledge, batches_digest
from btard.tasks.randomness import SeededDraws


class StageOffence(StrEnum):
    """What a stage is banned for."""

    ACTIVATION = "sent an activation that is not that of its weights and its input"
    GRADIENT = "sent back a gradient that is not that of its weights and of what it was sent"
    TIED = "told gradients of tied weights that are not its own"
    NORMS = "told norms that are not those of its gradients"
    STATE = "pledged another state than its last step has led to"
    UNREADABLE = "sent bytes that the agreed codec does not write"
    TWO_FACED = "signed two different messages for one place"
    FALSE_ALARM = "accused a stage that had said what it was to say"
    NO_CASE = "accused a stage and filed a case that proves nothing"
    FALSE_VERDICT = "named another stage as the liar than the case shows"


@dataclass(frozen=True, slots=True)
class StageJudgement:
    """The stage that has lied, and about what."""

    liar: int
    offence: StageOffence


class CaseUnfounded(Exception):
    """A case does not hold what its claim needs; an honest accuser files none such."""


def judge(filed: FiledCase, alarm: StageMessage, roster: Sequence[PeerId]) -> StageJudgement:
    """Return which stage has lied.

    Args:
        filed: what the accuser has filed; its signature is checked here.
        alarm: that the accuser has raised.
        roster: the peer of each stage.

    Raises:
        Malformed: the accuser has not filed this, or has raised no alarm about something that the accused has signed.
    """
    accuser = alarm.header.stage
    if alarm.header.kind is not StageMessageKind.ALARM or accuser >= len(roster):
        raise Malformed("this is no alarm")
    alarm.verify(roster[accuser])
    accusation = Accusation.decode(alarm.payload)
    accusation.check(alarm.header, roster)
    filed.verify(roster[accuser], alarm)
    try:
        guilty = _is_guilty(StageCase.decode(filed.case), accusation)
    except NotFinite:
        guilty = True  # an honest stage sends nothing then
    except (Malformed, CaseUnfounded, RuntimeError, ValueError, LookupError):
        return StageJudgement(accuser, StageOffence.NO_CASE)
    if guilty:
        return StageJudgement(accusation.accused, StageOffence[accusation.claim.name])
    return StageJudgement(accuser, StageOffence.FALSE_ALARM)


def draw_judges(seed: bytes, able: Sequence[int]) -> list[int]:
    """Return in which order stages judge, all that are neither accuser nor accused.

    Args:
        seed: 32 bytes that the accuser could not know when it raised the alarm, or it might wait for a judge it likes.
        able: the stages that may.
    """
    draws = SeededDraws(seed).bits("judges", len(able))
    return [stage for _, stage in sorted(zip(draws.tolist(), able, strict=True))]


def _is_guilty(case: StageCase, accusation: Accusation) -> bool:
    """Whether the accused has lied.

    Raises:
        Malformed: the case is not one of this form.
        CaseUnfounded: it lacks something.
    """
    match accusation.claim:
        case Claim.TWO_FACED:
            return True  # the two headers have been checked
        case Claim.UNREADABLE:
            return _is_unreadable(case, accusation.said)
        case Claim.ACTIVATION | Claim.GRADIENT:
            return _has_sent_wrong(case, accusation)
        case Claim.TIED | Claim.NORMS:
            return _has_told_wrong(case, accusation)
        case Claim.STATE:
            return _has_pledged_wrong(case, accusation)


def _is_unreadable(case: StageCase, said: SignedHeader) -> bool:
    message = case.said
    if message is None or message.header != said.header:
        raise CaseUnfounded("the message is not shown")
    facts, header = case.facts, message.header
    _check_pledge(case, header.stage, header.step)
    try:
        if header.kind is StageMessageKind.GRADIENT:
            decode_back(back_codec(facts, header.step), message.payload, facts.model.shape, facts.optimizer.scaled)
        elif header.kind is StageMessageKind.ACTIVATION:
            piece, samples = _piece(case, header.micro_batch), list(case.samples[header.micro_batch])
            boundary = shown_boundary(facts, piece.outward)
            if boundary.kept(samples, piece.outward.form) != header.kept:
                raise CaseUnfounded("what is shown of a cache is not what the accused has signed")
            boundary.decode(message.payload, samples, facts.model.shape, piece.outward.form)
        else:
            raise CaseUnfounded("nothing says how that is to be read")
    except Malformed:
        return True
    return False


def _has_sent_wrong(case: StageCase, accusation: Accusation) -> bool:
    """Whether an activation or a gradient is not that of the accused's weights and of what it was sent."""
    header, accused = accusation.said.header, accusation.accused
    retrial = retrial_of(case, accused, header.step)
    piece, samples = _piece(case, header.micro_batch), list(case.samples[header.micro_batch])
    forward = accusation.claim is Claim.ACTIVATION
    check_piece(case, piece, accused, (header.step, header.attempt), gradients=not forward)
    if (piece.activation if forward else piece.gradient) != accusation.said:
        raise CaseUnfounded("the message is not among those of its micro-batch")
    own = retrial.activation(piece, case.batches[piece.number], samples)
    if not forward:
        own = retrial.gradient(piece, samples)
    if case.facts.comparison.exact:
        return digest(own) != header.payload
    if case.said is None or case.said.header != header:
        raise CaseUnfounded("the message is not shown")
    try:
        told = case.said.payload
        right = retrial.same_forward(piece, samples, own, told) if forward else retrial.same_back(own, told)
    except Malformed:
        return True
    return not right


def _has_told_wrong(case: StageCase, accusation: Accusation) -> bool:
    """Whether a row is not that of the accused's gradients."""
    header, accused = accusation.said.header, accusation.accused
    retrial = retrial_of(case, accused, header.step)
    signed = _replay(case, retrial, accused, header.attempt)
    if header.kept != signed:
        if accused == 0:
            raise CaseUnfounded("the accused has computed from something else")
        return True  # its row contradicts its own headers
    copies = None
    if accusation.claim is Claim.NORMS:
        copies = tied_copies(case, retrial, header.attempt)
    own = retrial.rows(copies)
    if case.said is None or case.said.header != header:
        raise CaseUnfounded("the row is not shown")
    told = retrial.exchange.read_row(case.said.payload)
    return len(told) != len(own) or not case.facts.comparison.same(own, told)


def _has_pledged_wrong(case: StageCase, accusation: Accusation) -> bool:
    """Whether a pledge is not of the state to which the accused's last step has led, or not of its first one."""
    header, accused = accusation.said.header, accusation.accused
    if case.said is None or case.said.header != header:
        raise CaseUnfounded("the pledge is not shown")
    told = Pledge.decode(case.said.payload)
    if header.step == 0:
        if told.facts != case.facts.digest or not case.facts.model.first_states:
            raise CaseUnfounded("nothing tells the first states")
        return told.state.hex() != case.facts.model.first_states[accused]
    if not case.norms or case.norms[0].header.step != header.step - 1:
        raise CaseUnfounded("the step before is not shown")
    attempt = case.norms[0].header.attempt
    pledge = _check_pledge(case, accused, header.step - 1)
    before = StageState(case.weights, case.optimizer, case.scale)
    if before.digest != pledge.state:
        raise CaseUnfounded("the state is not the one that the accused has pledged")
    retrial = Retrial(case.facts, accused, header.step - 1, case.weights, case.scale)
    retrial.worker.load(before)
    own = next((row for row in case.norms if row.header.stage == accused), None)
    if own is None or own.header.kept != _replay(case, retrial, accused, attempt):
        raise CaseUnfounded("the accused has computed from something else")
    retrial.worker.set_tied(tied_copies(case, retrial, attempt))
    retrial.worker.step(_norms(case, retrial, attempt))
    return told.state != retrial.worker.state().digest


def _replay(case: StageCase, retrial: Retrial, accused: int, attempt: int) -> bytes:
    """Compute all passes again, and return the transcript that follows from what the accused's headers say."""
    given, back = [], []
    if [piece.number for piece in case.pieces] != list(range(case.facts.model.micro_batches)):
        raise CaseUnfounded("micro-batches are missing")
    for piece in case.pieces:
        check_piece(case, piece, accused, (retrial.step, attempt), gradients=True)
        retrial.activation(piece, case.batches[piece.number], list(case.samples[piece.number]))
    for piece in case.pieces:
        retrial.gradient(piece, list(case.samples[piece.number]))
        given += [] if piece.given is None else [piece.given.header.payload]
        back += [] if piece.back is None else [piece.back.header.payload]
    return transcript(given, back)


def tied_copies(case: StageCase, retrial: Retrial, attempt: int) -> dict[tuple[int, str], torch.Tensor]:
    """Return the gradients of all copies of tied weights, as all stages have told them."""
    copies = {}
    for stage, row in _rows(case, retrial, case.tied, StageMessageKind.TIED, attempt):
        if len(row) != retrial.exchange.tied_numbers(stage):
            raise CaseUnfounded("a row of another length")
        copies.update(retrial.exchange.tied_gradients(stage, row))
    return copies


def _norms(case: StageCase, retrial: Retrial, attempt: int) -> dict[str, torch.Tensor]:
    """Return the norms of all gradients, as all stages have told them."""
    norms: dict[str, torch.Tensor] = {}
    for stage, row in _rows(case, retrial, case.norms, StageMessageKind.NORMS, attempt):
        if len(row) != retrial.exchange.norm_numbers(stage):
            raise CaseUnfounded("a row of another length")
        norms.update(retrial.exchange.norms(stage, row))
    return norms


def _rows(
    case: StageCase, retrial: Retrial, messages: Sequence[StageMessage], kind: StageMessageKind, attempt: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the rows that stages have told, each signed for the step and attempt that are computed again."""
    for message in messages:
        header = message.header
        told = (header.run, header.step, header.attempt, header.kind)
        if told != (case.facts.run, retrial.step, attempt, kind) or header.stage >= len(case.facts.roster):
            raise CaseUnfounded("a row of another step")
        message.verify(case.facts.roster[header.stage])
        yield header.stage, retrial.exchange.read_row(message.payload)


def retrial_of(case: StageCase, accused: int, step: int) -> Retrial:
    """Return the accused's stage with the weights that it has pledged before a step.

    Raises:
        CaseUnfounded: there is no such pledge.
        Malformed: a signature does not verify, or the weights are of another size.
    """
    pledge = _check_pledge(case, accused, step)
    optimizer = digest(case.optimizer) if case.optimizer else case.optimizer_digest
    if state_digest(digest(case.weights), optimizer, case.scale) != pledge.state:
        raise CaseUnfounded("the weights are not those that the accused has pledged")
    return Retrial(case.facts, accused, step, case.weights, case.scale)


def _check_pledge(case: StageCase, accused: int, step: int) -> Pledge:
    """Return what the accused has pledged before a step; batches and facts are those that it has signed."""
    facts, message = case.facts, case.pledge
    if message is None:
        raise CaseUnfounded("there is no pledge")
    told = (message.header.run, message.header.step, message.header.kind, message.header.stage)
    if told != (facts.run, step, StageMessageKind.PLEDGE, accused):
        raise CaseUnfounded("the pledge is of another step or stage")
    if accused >= len(facts.roster) or len(message.payload) != 4 * len(NOTHING):
        raise CaseUnfounded("the pledge is not one")
    message.verify(facts.roster[accused])
    pledge = Pledge.decode(message.payload)
    same_batches = len(case.batches) == len(case.samples) == facts.model.micro_batches
    if not same_batches or pledge.batches != batches_digest(case.batches, case.samples):
        raise CaseUnfounded("the micro-batches are not those that the accused has pledged")
    if pledge.facts != facts.digest:
        raise CaseUnfounded("the plan is not the one that the accused has pledged")
    return pledge


def _piece(case: StageCase, number: int) -> CasePiece:
    for piece in case.pieces:
        if piece.number == number < case.facts.model.micro_batches:
            return piece
    raise CaseUnfounded("the micro-batch is missing")


def check_piece(case: StageCase, piece: CasePiece, accused: int, at: tuple[int, int], *, gradients: bool) -> None:
    """Check that the accused has signed what it was sent, and the senders that they have sent it.

    Args:
        at: step and attempt.
        gradients: whether those matter, too.

    Raises:
        CaseUnfounded: a message is missing, or of another place.
        Malformed: a signature does not verify.
    """
    last = accused == case.facts.cut.stages - 1
    run, roster = case.facts.run, case.facts.roster

    def check(header: StageMessage | SignedHeader | None, kind: StageMessageKind, by_accused: bool) -> None:
        if header is None:
            raise CaseUnfounded("a message is missing")
        told = header.header
        if (told.run, told.step, told.attempt, told.kind, told.micro_batch) != (run, *at, kind, piece.number):
            raise CaseUnfounded("a message of another place")
        if (told.stage == accused) != by_accused or told.stage >= len(roster):
            raise CaseUnfounded("a message of another stage")
        header.verify(roster[told.stage])

    bases = []
    if not last:
        check(piece.activation, StageMessageKind.ACTIVATION, True)
        assert piece.activation is not None
        bases.append((piece.activation, piece.given))
    if accused:
        check(piece.given, StageMessageKind.ACTIVATION, False)
    if gradients and not last:
        check(piece.back, StageMessageKind.GRADIENT, False)
    if gradients and accused:
        check(piece.gradient, StageMessageKind.GRADIENT, True)
        assert piece.gradient is not None
        bases.append((piece.gradient, piece.given if last else piece.back))
    for header, source in bases:
        if header.header.basis != (NOTHING if source is None else source.header.payload):
            raise CaseUnfounded("the accused has not computed from that")
