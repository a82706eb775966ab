"""The states to which steps that were computed here, too, must have led, and the pledges that say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.justice.case import StageCase
from btard.pipeline.justice.cases import CaseWriter
from btard.pipeline.justice.retrial import Retrial
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.schedule.state import StageState
from btard.pipeline.step.passes import Passes
from btard.pipeline.step.sealing import Pledge, Sealing


@dataclass
class ExpectedStates:
    """What one stage knows of the states of others.

    Attributes:
        context: of the stage.
        wanted: the pledges that are missing.
    """

    context: StageContext
    wanted: list[tuple[StageMessageKind, int, int]] = field(default_factory=list)
    _expected: dict[int, bytes] = field(default_factory=dict)
    _cases: dict[int, StageCase] = field(default_factory=dict)

    def compare(self, sealing: Sealing) -> tuple[Accusation, StageCase | None] | bool:
        """Whether the pledges of all followed stages are there and right; or what is wrong, and its case."""
        context = self.context
        if context.attempt or not context.plan.comparison.exact:
            return True
        expected = dict(self._expected)
        if context.follower is not None and context.duplicate is not None:
            expected[self.context.number - 1] = context.duplicate.state().digest
        pledges = {stage: context.inbox.find(0, StageMessageKind.PLEDGE, stage) for stage in expected}
        self.wanted = []
        for stage, message in pledges.items():
            if stage in context.vacant:
                continue
            if message is None or not sealing.is_ours(message):
                self.wanted.append((StageMessageKind.PLEDGE, stage, 0))
            elif not self._accepts(message, expected[stage]):
                return Accusation(Claim.STATE, message.signed), self._case(stage, message, sealing)
        return not self.wanted

    def remember(
        self, writer: CaseWriter, passes: Passes, norms: Mapping[str, torch.Tensor], audited: Mapping[int, StageCase]
    ) -> None:
        """Before a step changes the weights, keep what would prove a wrong pledge after it.

        Args:
            norms: of all gradients.
            audited: the cases of the stages whose step was computed again here, with their whole states.
        """
        context = self.context
        self._expected, self._cases = {}, {}
        if not context.plan.comparison.exact:
            return
        rows = list(writer.rows(StageMessageKind.NORMS).values())
        if context.follower is not None and context.plan.ban:
            state = context.follower.state()
            case = writer.whole(passes, context.number - 1, state)
            self._cases[context.number - 1] = replace(case, norms=rows)
        for stage, case in audited.items():
            if stage in context.lineup.learning:
                self._cases[stage] = replace(case, norms=rows)
                self._expected[stage] = _after_step(case, stage, context.step, norms)

    def forget(self, stage: int) -> None:
        """Another peer has a stage's seat."""
        self._expected.pop(stage, None)
        self._cases.pop(stage, None)

    def _accepts(self, pledge: StageMessage, state: bytes) -> bool:
        context = self.context
        right = Pledge.decode(pledge.payload).state == state
        return right or context.behaviour.tolerates(context.place(), pledge.header.stage)

    def _case(self, stage: int, said: StageMessage, sealing: Sealing) -> StageCase | None:
        """Return the case about a wrong pledge, None where nothing of the step before was computed here."""
        if self.context.step == 0:
            return StageCase(sealing.facts, said=said) if self.context.plan.first_states else None
        case = self._cases.get(stage)
        return None if case is None else replace(case, said=said)


def _after_step(case: StageCase, stage: int, step: int, norms: Mapping[str, torch.Tensor]) -> bytes:
    """Return the digest of the state to which a whole case leads."""
    retrial = Retrial(case.facts, stage, step, case.weights, case.scale)
    retrial.worker.load(StageState(case.weights, case.optimizer, case.scale))
    samples = [list(ids) for ids in case.samples]
    for piece in case.pieces:
        retrial.activation(piece, case.batches[piece.number], samples[piece.number])
    for piece in case.pieces:
        retrial.gradient(piece, samples[piece.number])
    copies = {}
    for message in case.tied:
        row = retrial.exchange.read_row(message.payload)
        copies.update(retrial.exchange.tied_gradients(message.header.stage, row))
    retrial.worker.set_tied(copies)
    retrial.worker.step(norms)
    return retrial.worker.state().digest
