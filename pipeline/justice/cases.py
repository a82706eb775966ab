"""What a stage puts into a case about another one, or into the record of its own step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from btard.hashing import digest
from btard.pipeline.caches.shared import SendForm
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.justice.audit import StepRecord
from btard.pipeline.justice.case import CasePiece, Crossing, StageCase
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import SignedHeader, StageMessage, StageMessageKind
from btard.pipeline.schedule.state import StageState
from btard.pipeline.step.passes import Passes
from btard.pipeline.step.sealing import Sealing

_NOT_CROSSED = Crossing(SendForm.PLAIN, {})


class CaseWriter:
    """Writes the cases of one stage, from what it has in the current attempt."""

    def __init__(self, context: StageContext, sealing: Sealing) -> None:
        self.context, self._sealing = context, sealing

    def own_record(self, passes: Passes) -> StepRecord:
        """Return the record of the own step."""
        numbers = range(self.context.plan.micro_batches)
        return StepRecord(
            self.context.worker.state(), [self._piece(passes, self.context.number, number) for number in numbers]
        )

    def about_duplicate(self, accusation: Accusation, passes: Passes, state: StageState) -> StageCase:
        """Return a case about the stage before, whose duplicate this stage holds.

        Args:
            accusation: any but one about two faces or an unreadable message.
            passes: of the attempt.
            state: of the duplicate before the step.
        """
        numbers: Iterable[int] = range(self.context.plan.micro_batches)
        if accusation.claim in (Claim.ACTIVATION, Claim.GRADIENT):
            numbers = [accusation.said.header.micro_batch]
        gradients = accusation.claim is not Claim.ACTIVATION
        pieces = [self._piece(passes, self.context.number - 1, number, gradients=gradients) for number in numbers]
        return replace(self.case(accusation, state.weights, pieces, digest(state.optimizer)), scale=state.scale)

    def whole(self, passes: Passes, stage: int, state: StageState) -> StageCase:
        """Return all of the step of this stage or of the one before, with its state before."""
        numbers = range(self.context.plan.micro_batches)
        pledge = self.context.inbox.find(0, StageMessageKind.PLEDGE, stage)
        pieces = [self._piece(passes, stage, number) for number in numbers]
        return StageCase(
            self._sealing.facts,
            pledge,
            None,
            list(self.context.batches),
            self.context.plan.ids(self.context.step),
            state.weights,
            state.optimizer,
            pieces,
            list(self.rows(StageMessageKind.TIED).values()),
            scale=state.scale,
        )

    def about_bytes(self, accusation: Accusation, passes: Passes) -> StageCase:
        """Return a case about a message that cannot be read, or about two that contradict each other."""
        if accusation.claim is Claim.TWO_FACED:
            return StageCase(self._sealing.facts)
        said = accusation.said.header
        outward = passes.crossings.get((said.stage, said.micro_batch), _NOT_CROSSED)
        piece = CasePiece(said.micro_batch, None, None, accusation.said, None, _NOT_CROSSED, outward)
        return self.case(accusation, b"", [piece])

    def case(
        self, accusation: Accusation, weights: bytes, pieces: list[CasePiece], optimizer: bytes = b""
    ) -> StageCase:
        """Return a case about the current step."""
        context, said = self.context, accusation.said.header
        pledge = self.context.inbox.find(0, StageMessageKind.PLEDGE, said.stage)
        return StageCase(
            self._sealing.facts,
            pledge,
            context.inbox.find(said.attempt, said.kind, said.stage, said.micro_batch),
            list(context.batches),
            context.plan.ids(context.step),
            weights,
            pieces=pieces,
            tied=list(self.rows(StageMessageKind.TIED).values()),
            optimizer_digest=optimizer,
        )

    def rows(self, kind: StageMessageKind) -> Mapping[int, StageMessage]:
        """Return what all stages that learn have told in the attempt, as far as it has come."""
        found = {stage: self.context.find(kind, stage) for stage in self.context.lineup.learning}
        return {stage: message for stage, message in found.items() if message is not None}

    def _piece(self, passes: Passes, stage: int, number: int, *, gradients: bool = True) -> CasePiece:
        """Return one micro-batch of this stage or of the one before."""
        context, lineup = self.context, self.context.lineup
        before, after = lineup.before(stage), lineup.after(stage)
        kinds = StageMessageKind.ACTIVATION, StageMessageKind.GRADIENT
        given = None if before is None else context.find(kinds[0], before, number)
        back = None if after is None or not gradients else context.find(kinds[1], after, number)
        activation = None if after is None else context.find(kinds[0], stage, number)
        gradient: SignedHeader | None = None
        if gradients and before is not None:
            if stage == context.number:
                sent = context.find(kinds[1], stage, number)
                gradient = None if sent is None else sent.signed
            else:
                gradient = passes.echoed(number)
        inward = _NOT_CROSSED if before is None else passes.crossings.get((before, number), _NOT_CROSSED)
        outward = passes.crossings.get((stage, number), _NOT_CROSSED)
        header = None if activation is None else activation.signed
        return CasePiece(number, given, back, header, gradient, inward, outward)
