"""A stage of a pipeline as a state machine: messages and deadlines in, messages and reports out.

A step: all pledge what they hold; activations go forward and gradients back by the schedule; every stage tells all
others its gradients of tied weights and the norms of its gradients, then seals the step; stages drawn by the seals
compute the steps of others again; the last stage says that the step counts, and all change their weights. A stage that
finds another one lying raises an alarm instead: the last stage tells all which alarm came first, the suspects are
passed by, and the step is done anew. Meanwhile a third stage finds out which of the two has lied (`court`).
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf

from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import Reader
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.justice.auditing import Auditing
from btard.pipeline.justice.case import StageCase
from btard.pipeline.justice.cases import CaseWriter
from btard.pipeline.justice.court import StageCourt
from btard.pipeline.justice.expected_states import ExpectedStates
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import MAX_ATTEMPTS, StageMessage, StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan, StageEffect, StageReport, StageStalled
from btard.pipeline.machine.sizes import MAX_ALARM
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.step.passes import BoundaryDiffers, Passes, PassOutcome, Waiting
from btard.pipeline.step.redo import Causes
from btard.pipeline.step.rows import RowExchange
from btard.pipeline.step.sealing import Sealing


class _Phase(Enum):
    PLEDGES = auto()
    PASSES = auto()
    ECHOES = auto()
    TIES = auto()
    NORMS = auto()
    SEALS = auto()
    AUDITS = auto()
    ACCEPTANCE = auto()
    ALARMED = auto()
    NOT_FINITE = auto()
    OVER = auto()


class StageMachine:
    """One stage.

    Attributes:
        number: which.
        context: its weights, and what it knows.
        deadline: when `tick` is wanted.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        key: IdentityKey,
        worker: StageWorker,
        duplicate: StageWorker | None = None,
        attack: StageBehaviour = HONEST,
    ) -> None:
        self.context = StageContext(plan, key, worker, duplicate, attack)
        self.number, self.stages = self.context.number, self.context.stages
        if (duplicate is not None) != (plan.duplicates and self.number >= 2):
            raise ValueError("the stages from the third on hold a duplicate exactly where each has one")
        self.deadline = self._stalls = inf
        self._court, self._expected = StageCourt(self.context), ExpectedStates(self.context)
        self._phase = _Phase.OVER
        self._facts = self._facts_now()

    @property
    def plan(self) -> PipelinePlan:
        """What all agree on, with the present roster."""
        return self.context.plan

    @property
    def worker(self) -> StageWorker:
        """The weights."""
        return self.context.worker

    @property
    def duplicate(self) -> StageWorker | None:
        """Those of the stage before it; None for the first two stages, and where none are held."""
        return self.context.duplicate

    def begin(self, now: float, step: int) -> list[StageEffect]:
        """Begin a step."""
        context = self.context
        context.begin(step, context.inbox.memory or 1)
        self._stalls = now + context.plan.step_seconds
        self.deadline = min(self._stalls, now + context.plan.retry_seconds)
        self._causes = Causes(context, self._court.trusts)
        self._sealing = Sealing(context, self._facts)
        self._writer = CaseWriter(context, self._sealing)
        if context.plan.checked:
            self._court.begin()
            self._sealing.pledge()
        self._attempt_anew(0)
        return self._go_on()

    def on_message(self, sender: PeerId, data: bytes) -> list[StageEffect]:
        """A message has arrived; one that no honest stage sends is dropped."""
        try:
            message = self.context.inbox.accept(sender, data)
            if message is None:
                return []
            if message.header.kind is StageMessageKind.ASK:
                self._answer(message)
                return self.context.take_effects()
        except Malformed:
            return []
        return self._go_on()

    def tick(self, now: float) -> list[StageEffect]:
        """The deadline may have passed: ask again for what is missing, or give up."""
        if now < self.deadline:
            return []
        if self._phase is not _Phase.OVER and now >= self._stalls:
            waiting = ", ".join(self._waiting())
            self._phase, self.deadline = _Phase.OVER, inf
            return [StageStalled(self.context.step, waiting)]
        self._ask()
        self.deadline = now + self.context.plan.retry_seconds
        if self._phase is not _Phase.OVER:
            self.deadline = min(self.deadline, self._stalls)
        return self.context.take_effects()

    def reseat(self, stage: int, peer: PeerId) -> None:
        """Between two steps, let a peer take a stage's seat; all stages do so before they begin the same step."""
        self._court.banned.discard(stage)
        self._expected.forget(stage)
        self.context.reseat(stage, peer)
        self._facts = self._facts_now()

    def _facts_now(self) -> PlanFacts:
        worker = self.context.worker
        return PlanFacts.of(self.context.plan, worker.stage.cut, worker.plan)

    def _attempt_anew(self, attempt: int) -> None:
        context = self.context
        context.attempt = context.inbox.attempt = attempt
        context.lineup = self._causes.lineup()
        for worker in context.workers:
            worker.discard()
        context.channels.roll_back()
        self._passes, self._rows = Passes(context), RowExchange(context)
        self._auditing: Auditing | None = None
        self._wanted: list[tuple[StageMessageKind, int, int]] = []
        self._phase = _Phase.PLEDGES if context.plan.checked else _Phase.PASSES

    def _go_on(self) -> list[StageEffect]:
        """Do all that what has arrived allows, and return what is to be done outside."""
        if self.context.plan.checked and self.context.plan.ban:
            self._court.advance()
        while self._phase is not _Phase.OVER and (self._hear() or self._advance()):
            pass
        return self.context.take_effects()

    def _hear(self) -> bool:
        """Begin anew if the last stage says so, or as the last stage if there is a reason; whether so."""
        context = self.context
        if self.number == context.last:
            for kind in (StageMessageKind.ALARM, StageMessageKind.RAW):
                cause = context.inbox.first(context.attempt, kind)
                if cause is not None and self._causes.counts(cause):
                    return self._choose(cause)
            return False
        redo = context.inbox.find(context.attempt, StageMessageKind.REDO, context.last)
        try:
            cause = None if redo is None else StageMessage.decode(redo.payload, most=MAX_ALARM)
        except Malformed:
            return False
        if redo is None or cause is None or not self._causes.counts(cause):
            return False
        self._redo(cause, redo)
        return True

    def _choose(self, cause: StageMessage) -> bool:
        """As the last stage, tell all why the attempt is done anew."""
        redo = self.context.send(StageMessageKind.REDO, self.context.others(), cause.encode())
        self._redo(cause, redo)
        return True

    def _redo(self, cause: StageMessage, redo: StageMessage) -> None:
        context = self.context
        self._causes.add(cause)
        if cause.header.kind is StageMessageKind.ALARM and context.plan.ban:
            self._court.open(cause, redo)
        if context.attempt + 1 < MAX_ATTEMPTS:
            self._attempt_anew(context.attempt + 1)
        self._court.advance()

    def _advance(self) -> bool:
        """Do one thing; whether there may be more."""
        self._wanted = []
        match self._phase:
            case _Phase.PLEDGES:
                return self._begin_passes()
            case _Phase.PASSES:
                if self._passes.done:
                    self._phase = _Phase.ECHOES
                    return True
                return self._after_pass(self._passes.advance())
            case _Phase.ECHOES:
                outcome = self._passes.echoes()
                if outcome is None:
                    self._phase = _Phase.TIES
                    self._rows.tell_tied()
                    return True
                return self._after_pass(outcome)
            case _Phase.TIES:
                return self._after_rows(self._rows.add_tied(), _Phase.NORMS)
            case _Phase.NORMS:
                return self._after_rows(self._rows.collect_norms(), _Phase.SEALS)
            case _Phase.SEALS:
                return self._draw()
            case _Phase.AUDITS:
                return self._audit()
            case _Phase.ACCEPTANCE:
                return self._accept()
            case _Phase.ALARMED | _Phase.NOT_FINITE | _Phase.OVER:
                return False

    def _begin_passes(self) -> bool:
        """Go on once the stages whose last step was computed here, too, have pledged the states to which it led."""
        outcome = self._expected.compare(self._sealing)
        if isinstance(outcome, tuple):
            return self._raise_alarm(*outcome)
        self._wanted = list(self._expected.wanted)
        if outcome:
            self._phase = _Phase.PASSES
        return outcome

    def _after_pass(self, outcome: PassOutcome) -> bool:
        match outcome:
            case None:
                return True
            case Waiting.MESSAGE:
                self._wanted = list(self._passes.wanted)
                return False
            case Waiting.FOREVER:
                self._phase = _Phase.NOT_FINITE
                return False
            case BoundaryDiffers(source):
                return self._raise_raw(source)
            case Accusation():
                return self._raise_alarm(outcome)

    def _after_rows(self, outcome: Accusation | bool, then: _Phase) -> bool:
        if isinstance(outcome, Accusation):
            return self._raise_alarm(outcome)
        if not outcome:
            self._wanted = list(self._rows.wanted)
            return False
        if then is _Phase.NORMS:
            self._rows.tell_norms()
        elif self.plan.checked:
            self._sealing.seal(self._passes.strange)
        else:
            then = _Phase.ACCEPTANCE
        self._phase = then
        return True

    def _draw(self) -> bool:
        pledges = self._sealing.pledges()
        audits = None if pledges is None else self._sealing.draw(pledges)
        if audits is None:
            self._wanted = list(self._sealing.wanted)
            return False
        self._auditing = Auditing(self.context, self._sealing, self._writer, self._passes, audits)
        self._phase = _Phase.AUDITS
        return True

    def _audit(self) -> bool:
        assert self._auditing is not None
        outcome = self._auditing.advance()
        if isinstance(outcome, tuple):
            found, case = outcome
            return self._raise_alarm(found.accusation, case)
        if not outcome:
            self._wanted = list(self._auditing.wanted)
            return False
        self._phase = _Phase.ACCEPTANCE
        return True

    def _accept(self) -> bool:
        """End the step once the last stage says that it counts."""
        context = self.context
        if self.number == context.last:
            # Without checks nobody tells that it is done, but by the norms that all have told.
            empty = sorted(self._court.banned - context.vacant)
            payload = b"".join(stage.to_bytes(2, "big") for stage in empty)
            context.send(StageMessageKind.ACCEPT, context.others(), payload)
        else:
            message = context.find(StageMessageKind.ACCEPT, context.last)
            if message is None:
                self._wanted = [(StageMessageKind.ACCEPT, context.last, 0)]
                return False
            empty = [int.from_bytes(message.payload[at : at + 2], "big") for at in range(0, len(message.payload), 2)]
            if not set(empty) <= self._court.banned:
                return False  # nobody loses a seat by the word of the last stage alone
        self._finish(empty)
        return False

    def _finish(self, empty: list[int]) -> None:
        """Step where something is learnt, and end the step."""
        context = self.context
        if context.plan.checked:
            right = {} if self._auditing is None else self._auditing.right
            self._expected.remember(self._writer, self._passes, self._rows.norms, right)
        for worker in context.workers:
            if worker.stage.number in context.lineup.learning:
                worker.step(self._rows.norms)
            else:
                worker.freeze(self._rows.norms)
        context.channels.commit()
        context.vacant |= frozenset(empty)
        self._phase, self.deadline = _Phase.OVER, inf
        losses, suspicions = self._passes.losses, self._causes.suspicions()
        context.effect(
            StageReport(
                context.step,
                sum(losses) / len(losses) if losses else None,
                suspicions[0][0] if suspicions else None,
                context.learns,
                tuple(accusation.accused for _, accusation in suspicions),
                context.attempt + 1,
                tuple(self._auditing.audits) if self._auditing is not None else (),
                self.number in context.lineup.recovery.skipped,
            )
        )

    def _raise_alarm(self, accusation: Accusation, case: StageCase | None = None) -> bool:
        """Accuse a stage; whether there may be more to do, as there is for the last stage."""
        context = self.context
        alarm = context.send(
            StageMessageKind.ALARM, context.others(), accusation.encode(), accusation.said.header.micro_batch
        )
        if context.plan.ban:
            filed = case or self._case(accusation)
            if filed is not None:
                self._court.file(alarm, filed)
        if self.number == context.last:
            return self._choose(alarm)
        self._phase = _Phase.ALARMED
        return False

    def _case(self, accusation: Accusation) -> StageCase | None:
        """Return the case about the stage before, None where this stage has none that proves anything."""
        context = self.context
        if accusation.claim in (Claim.TWO_FACED, Claim.UNREADABLE):
            return self._writer.about_bytes(accusation, self._passes)
        if context.duplicate is None or not context.plan.comparison.exact or accusation.claim is Claim.STATE:
            return None
        return self._writer.about_duplicate(accusation, self._passes, context.duplicate.state())

    def _raise_raw(self, source: int) -> bool:
        """Ask for everything raw at a boundary; whether there may be more to do."""
        context = self.context
        message = context.send(StageMessageKind.RAW, [context.last], b"", source)
        if self.number == context.last:
            return self._choose(message)
        self._phase = _Phase.ALARMED
        return False

    def _waiting(self) -> list[str]:
        told = [f"{kind.name.lower()} {number} of stage {stage}" for kind, stage, number in self._wanted]
        return told or [self._phase.name.lower().replace("_", " ")]

    def _ask(self) -> None:
        """Ask others for what is missing, and the last stage for what it has decided."""
        context = self.context
        here = (context.step, context.attempt)
        wanted = [(kind, stage, number, here) for kind, stage, number in self._wanted]
        if self._phase is not _Phase.OVER:
            for kind in (StageMessageKind.REDO, StageMessageKind.ACCEPT):
                wanted.append((kind, context.last, 0, here))
            if self._phase is _Phase.ALARMED:
                for own in (StageMessageKind.ALARM, StageMessageKind.RAW):
                    context.repeat_all(own, here)
        wanted += self._court.wanted()
        for kind, stage, number, (step, attempt) in wanted:
            if stage != self.number and stage not in context.vacant:
                place = (step, 0 if kind is StageMessageKind.PLEDGE else attempt)
                context.ask(stage, kind, number, place)

    def _answer(self, message: StageMessage) -> None:
        """Send once more what a stage lacks; raises Malformed."""
        fields = Reader(message.payload, limit=len(message.payload))
        fields.fields(4)
        step, attempt = fields.number(0, message.header.step), fields.number(0, MAX_ATTEMPTS - 1)
        kind = StageMessageKind(fields.number(min(StageMessageKind), max(StageMessageKind)))
        self.context.repeat(message.header.stage, (step, attempt, kind, fields.number(0, 1 << 16)))
