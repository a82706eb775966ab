"""A stage of a pipeline as a state machine: messages and deadlines in, messages and reports out.

A step: activations go forward and gradients back by the schedule; then every stage tells all others its gradients of
tied weights and the norms of its gradients, and steps once it has those of all. Each stage from the third on holds a
duplicate of the stage before it, and computes on what that stage was sent: if a bit differs it raises an alarm. The
last stage tells all which alarm came first; the suspects are passed by, and the step is done anew without checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from math import inf, prod

import torch

from btard.hashing import digest
from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.defence.attacks import HONEST, StageAttack
from btard.pipeline.defence.recovery import NO_ALARM, Recovery, recovery
from btard.pipeline.machine.inbox import StageInbox
from btard.pipeline.machine.messages import StageMessage, StageMessageKind, from_payload, to_payload
from btard.pipeline.machine.plan import PipelinePlan, SendStage, StageEffect, StageReport, StageStalled
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.order import BackwardPass, ForwardPass, OptimizerStep, StageAction
from btard.pipeline.schedule.worker import StageWorker

MAX_ALARM = 512
"""Bytes of a signed alarm."""


class _Phase(Enum):
    PASSES = auto()
    TIES = auto()
    NORMS = auto()
    ALARMED = auto()
    OVER = auto()


class StageMachine:
    """One stage.

    Attributes:
        number: which.
        worker: its weights.
        duplicate: those of the stage before it; None for the first two stages, and where nothing is checked.
        deadline: when `tick` is wanted.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        key: IdentityKey,
        worker: StageWorker,
        duplicate: StageWorker | None = None,
        attack: StageAttack = HONEST,
    ) -> None:
        self.plan, self.worker, self.duplicate = plan, worker, duplicate
        self.number, self.stages = worker.stage.number, worker.stage.cut.stages
        self.deadline = inf
        if (duplicate is not None) != (plan.checked and self.number >= 2):
            raise ValueError("the stages from the third on hold a duplicate exactly if activations are checked")
        self._key, self._attack, self._exchange = key, attack, StepExchange(worker.stage.cut)
        self._inbox = StageInbox(plan.run, plan.roster, plan.micro_batches, self._sizes)
        self._phase, self._attempt = _Phase.OVER, 0
        self._out: list[StageEffect] = []
        self._todo: list[StageAction] = []

    def begin(self, now: float, step: int) -> list[StageEffect]:
        """Begin a step."""
        self._inbox.begin(step)
        self._batches = self.plan.batches(step)
        self.deadline = now + self.plan.step_seconds
        self._attempt_anew(0, NO_ALARM, None)
        return self._go_on()

    def on_message(self, sender: PeerId, data: bytes) -> list[StageEffect]:
        """A message has arrived; one that no honest stage sends is dropped."""
        try:
            new = self._inbox.accept(sender, data)
        except Malformed:
            return []
        return self._go_on() if new else []

    def tick(self, now: float) -> list[StageEffect]:
        """The deadline may have passed."""
        if now < self.deadline or self._phase is _Phase.OVER:
            return []
        waiting = self._phase.name.lower() + (f", {self._todo[0]}" if self._todo else "")
        self._phase, self.deadline = _Phase.OVER, inf
        return [StageStalled(self._inbox.step, waiting)]

    def _sizes(self, kind: StageMessageKind, stage: int) -> tuple[int, int]:
        """Return how few and how many bytes of numbers a message has."""
        match kind:
            case StageMessageKind.ACTIVATION | StageMessageKind.GRADIENT:
                numbers = prod(self.plan.shape)
            case StageMessageKind.TIED:
                numbers = self._exchange.tied_numbers(stage)
            case StageMessageKind.NORMS:
                numbers = self._exchange.norm_numbers(stage)
            case StageMessageKind.ALARM:
                numbers = 0
            case StageMessageKind.REDO:
                return 1, MAX_ALARM
        return 4 * numbers, 4 * numbers

    def _attempt_anew(self, attempt: int, chosen: Recovery, alarm: int | None) -> None:
        self._attempt, self._recovery, self._alarm = attempt, chosen, alarm
        self._phase, self._todo = _Phase.PASSES, []
        self._losses: list[float] = []
        self._own: dict[StageMessageKind, torch.Tensor] = {}
        self._learning = [stage for stage in range(self.stages) if stage not in chosen.frozen]
        # The duplicate is computed with while its stage learns: first to check it, then to stay equal to it.
        self._follower = self.duplicate if self.number - 1 in self._learning else None
        workers = [self.worker] if self.duplicate is None else [self.worker, self.duplicate]
        for worker in workers:
            worker.discard()
        self._here = {worker: worker.stage.number in self._learning for worker in workers}
        live = [stage for stage in range(self.stages) if stage not in chosen.skipped]
        if self.number in live:
            place = live.index(self.number)
            self._before = live[place - 1] if place else None
            self._after = live[place + 1] if place + 1 < len(live) else None
            self._two_before = live[place - 2] if place > 1 else None
            self._todo = list(self.plan.order.actions(len(live), place, self.plan.micro_batches))

    def _go_on(self) -> list[StageEffect]:
        """Do all that what has arrived allows, and return what is to be done outside."""
        while self._phase is not _Phase.OVER and (self._hear_alarm() or self._advance()):
            pass
        out, self._out = self._out, []
        return out

    def _hear_alarm(self) -> bool:
        """Begin anew if an alarm is to be acted upon; whether it is."""
        if self._attempt or not self.plan.checked:
            return False
        if self.number == self.stages - 1:
            alarm = self._inbox.first(0, StageMessageKind.ALARM)
            if alarm is None or alarm.header.stage < 2:
                return False
            self._choose(alarm)
            return True
        chosen = self._inbox.find(0, StageMessageKind.REDO, self.stages - 1)
        alarmed = None if chosen is None else self._alarm_in(chosen.payload)
        if alarmed is None:
            return False
        self._redo(alarmed)
        return True

    def _alarm_in(self, payload: bytes) -> int | None:
        """Return the stage that has signed this alarm of the current step; None if it is none."""
        try:
            alarm = StageMessage.decode(payload, most=0)
            told = alarm.header
            wanted = (self.plan.run, self._inbox.step, 0, StageMessageKind.ALARM)
            if (told.run, told.step, told.attempt, told.kind) != wanted or not 2 <= told.stage < self.stages:
                return None
            alarm.verify(self.plan.roster[told.stage])
        except Malformed:
            return None
        return told.stage

    def _choose(self, alarm: StageMessage) -> None:
        """As the last stage, tell all of the first alarm."""
        self._send(StageMessageKind.REDO, 0, alarm.encode(), self._others())
        self._redo(alarm.header.stage)

    def _redo(self, alarmed: int) -> None:
        self._attempt_anew(1, recovery(self.stages, alarmed, trusted_relay=self.plan.trusted_relay), alarmed)

    def _advance(self) -> bool:
        """Do one thing; whether there may be more."""
        match self._phase:
            case _Phase.PASSES:
                match self._todo[0] if self._todo else None:
                    case ForwardPass(number):
                        return self._forward(number)
                    case BackwardPass(number):
                        return self._backward(number)
                    case OptimizerStep():
                        self._todo.pop(0)
                        row = self._exchange.tied_row(self.number, self.worker.tied_gradients())
                        return self._tell(StageMessageKind.TIED, row, _Phase.TIES)
                    case None:
                        return self._finish({})
            case _Phase.TIES:
                return self._add_ties()
            case _Phase.NORMS:
                return self._step()
            case _Phase.ALARMED | _Phase.OVER:
                return False

    def _forward(self, number: int) -> bool:
        given = None
        if self._before is not None:
            given = self._inbox.find(self._attempt, StageMessageKind.ACTIVATION, self._before, number)
            if given is None:
                return False
        if self._follower is not None:
            assert self._two_before is not None and given is not None
            source = self._inbox.find(self._attempt, StageMessageKind.ACTIVATION, self._two_before, number)
            if source is None:
                return False
            wanted = self._follower.forward(number, self._batches[number], self._tensor(source))
            if self._attempt == 0 and digest(to_payload(wanted)) != given.header.payload:
                return self._raise_alarm(number)
        self._todo.pop(0)
        output = self.worker.forward(number, self._batches[number], None if given is None else self._tensor(given))
        if self._after is None:
            self._losses.append(float(output))
            return True
        output = self._attack.activation(self._inbox.step, self.stages, self.number, number, output)
        receivers = [self._after]
        if self.plan.checked and self._after < self.stages - 1:
            receivers.append(self._after + 1)  # it holds the duplicate of the next stage
        self._send(StageMessageKind.ACTIVATION, number, to_payload(output), receivers)
        return True

    def _raise_alarm(self, number: int) -> bool:
        place = (self._inbox.step, 0)
        alarm = StageMessage.sign(self._key, self.plan.run, place, StageMessageKind.ALARM, self.number, number)
        if self.number == self.stages - 1:
            self._choose(alarm)
            return True
        self._phase = _Phase.ALARMED
        self._out.append(SendStage((self.stages - 1,), alarm.encode()))
        return False

    def _backward(self, number: int) -> bool:
        gradient = torch.tensor(1.0 / self.plan.micro_batches)
        if self._after is not None:
            message = self._inbox.find(self._attempt, StageMessageKind.GRADIENT, self._after, number)
            if message is None:
                return False
            gradient = self._tensor(message)
        self._todo.pop(0)
        back = self.worker.backward(number, gradient)
        if self._before is not None and back is not None:
            back = self._attack.gradient(self._inbox.step, self.stages, self.number, number, back)
            if self._follower is not None:
                self._follower.backward(number, back)
            self._send(StageMessageKind.GRADIENT, number, to_payload(back), [self._before])
        return True

    def _tell(self, kind: StageMessageKind, row: torch.Tensor, then: _Phase) -> bool:
        """Tell all a row of numbers, if this stage learns, and go on to the phase that waits for those of all."""
        self._phase = then
        if self.number in self._learning:
            self._own[kind] = row
            self._send(kind, 0, to_payload(row), self._others())
        return True

    def _told(self, kind: StageMessageKind) -> dict[int, torch.Tensor] | None:
        """Return the rows of all stages that learn, None while one is missing."""
        rows: dict[int, torch.Tensor] = {}
        for stage in self._learning:
            message = self._inbox.find(self._attempt, kind, stage)
            if stage == self.number:
                rows[stage] = self._own[kind]
            elif message is None:
                return None
            else:
                rows[stage] = from_payload(message.payload, (-1,))
        return rows

    def _add_ties(self) -> bool:
        rows = self._told(StageMessageKind.TIED)
        if rows is None:
            return False
        copies = {
            place: part for n, row in rows.items() for place, part in self._exchange.tied_gradients(n, row).items()
        }
        for worker, learns in self._here.items():
            if learns:
                worker.set_tied(copies)
        return self._tell(
            StageMessageKind.NORMS, self._exchange.norm_row(self.number, self.worker.norms()), _Phase.NORMS
        )

    def _step(self) -> bool:
        rows = self._told(StageMessageKind.NORMS)
        if rows is None:
            return False
        return self._finish(
            {name: norm for n, row in rows.items() for name, norm in self._exchange.norms(n, row).items()}
        )

    def _finish(self, norms: Mapping[str, torch.Tensor]) -> bool:
        """Step with these norms where something is learnt, and end the step."""
        for worker, learns in self._here.items():
            if learns:
                worker.step(norms)
            else:
                worker.freeze()
        self._phase, self.deadline = _Phase.OVER, inf
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        self._out.append(StageReport(self._inbox.step, loss, self._alarm, self.number in self._learning))
        return False

    def _others(self) -> list[int]:
        return [stage for stage in range(self.stages) if stage != self.number]

    def _tensor(self, message: StageMessage) -> torch.Tensor:
        return from_payload(message.payload, self.plan.shape)

    def _send(self, kind: StageMessageKind, number: int, payload: bytes, stages: Sequence[int]) -> None:
        # An alarm and its choice belong to the attempt that they end.
        place = (self._inbox.step, self._attempt)
        message = StageMessage.sign(self._key, self.plan.run, place, kind, self.number, number, payload)
        self._out.append(SendStage(tuple(stages), message.encode()))
