"""What the parts of a stage share: its keys and weights, what has arrived, and where in a step it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from btard.identity import IdentityKey, PeerId
from btard.identity.codec import encode
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.pipeline.defence.statistics import BorderStatistics
from btard.pipeline.machine.inbox import StageInbox
from btard.pipeline.machine.messages import NOTHING, StageMessage, StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan, SendStage, StageEffect
from btard.pipeline.machine.sizes import MessageSizes
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.step.channels import Channels
from btard.pipeline.step.lineup import Lineup
from btard.tasks.base import Batch

_Sent = tuple[int, int, StageMessageKind, int]


class StageContext:
    """One stage in its current attempt at a step.

    Attributes:
        plan: what all agree on; its roster is the present one.
        key: of the stage's peer.
        worker: the weights.
        duplicate: those of the stage before it; None for the first two stages, and where none are held.
        behaviour: how the stage lies; most do not.
        number: of the stage.
        stages: how many there are.
        exchange: which rows stages tell each other.
        inbox: what has arrived.
        channels: the boundaries.
        lineup: who takes part.
        step: the current one.
        attempt: at that step.
        batches: the step's micro-batches.
        vacant: seats that are empty, which every step passes by.
    """

    lineup: Lineup
    step: int
    batches: Sequence[Batch]

    def __init__(
        self,
        plan: PipelinePlan,
        key: IdentityKey,
        worker: StageWorker,
        duplicate: StageWorker | None,
        behaviour: StageBehaviour,
    ) -> None:
        self.plan, self.key, self.worker, self.duplicate, self.behaviour = plan, key, worker, duplicate, behaviour
        self.number, self.stages = worker.stage.number, worker.stage.cut.stages
        self.exchange, self.channels = (
            StepExchange(worker.stage.cut),
            Channels(plan, self.number, self.stages, overflows=worker.plan.scaled),
        )
        sizes = MessageSizes(plan, self.exchange, self.channels.largest(), worker.stage.cut)
        self.inbox = StageInbox(
            plan.run, plan.roster, plan.micro_batches, sizes.bounds, chunks=sizes.chunks, memory=sizes.memory
        )
        self.attempt = 0
        self.vacant: frozenset[int] = frozenset()
        self._effects: list[StageEffect] = []
        self._statistics: dict[tuple[StageMessageKind, int], BorderStatistics] = {}
        self._sent: dict[_Sent, list[tuple[set[int], StageMessage]]] = {}

    @property
    def workers(self) -> list[StageWorker]:
        """The stage's own weights, and its duplicate's if it holds one."""
        return [self.worker] if self.duplicate is None else [self.worker, self.duplicate]

    @property
    def follower(self) -> StageWorker | None:
        """The duplicate while its stage learns: it is computed with to check that stage, and to stay equal to it."""
        return self.duplicate if self.lineup.checker(self.number - 1) == self.number else None

    @property
    def last(self) -> int:
        """The last stage, which tells all how a step goes on."""
        return self.stages - 1

    @property
    def learns(self) -> bool:
        """Whether the stage's weights change in this attempt."""
        return self.number in self.lineup.learning

    def place(self, micro_batch: int = 0) -> StagePlace:
        """Return where the stage is about to say something."""
        return StagePlace(self.step, self.attempt, self.stages, self.number, micro_batch)

    def others(self) -> list[int]:
        """Return all stages whose seats are taken, but this one."""
        return [stage for stage in range(self.stages) if stage != self.number and stage not in self.vacant]

    def find(self, kind: StageMessageKind, stage: int, micro_batch: int = 0) -> StageMessage | None:
        """Return what a stage has sent in the current attempt, also this one itself; None if it has not arrived."""
        if stage == self.number:
            return self.sent(kind, micro_batch)
        return self.inbox.find(self.attempt, kind, stage, micro_batch)

    def sent(self, kind: StageMessageKind, micro_batch: int = 0) -> StageMessage | None:
        """Return what this stage has sent in the current attempt."""
        return self.sent_at((self.step, self.attempt), kind, micro_batch)

    def sent_at(self, place: tuple[int, int], kind: StageMessageKind, micro_batch: int = 0) -> StageMessage | None:
        """Return what this stage has sent in an attempt, named by step and attempt."""
        found = self._sent.get((*place, kind, micro_batch))
        return None if found is None else found[0][1]

    def sent_in(self, step: int, kind: StageMessageKind) -> StageMessage | None:
        """Return what this stage has sent all others in the last attempt of a step; None if it has not, or long ago."""
        at = [place for place in self._sent if (place[0], *place[2:]) == (step, kind, 0)]
        return self._sent[max(at)][0][1] if at else None

    def send(
        self,
        kind: StageMessageKind,
        stages: Iterable[int],
        payload: bytes = b"",
        micro_batch: int = 0,
        *,
        source: StageMessage | None = None,
        kept: bytes = NOTHING,
        at: tuple[int, int] | None = None,
    ) -> StageMessage:
        """Sign a message, send it to some stages, and return it.

        Args:
            source: the message from which its payload was computed.
            kept: digest of what is kept of the samples before.
            at: step and attempt, if not the current ones.
        """
        place = (self.step, self.attempt) if at is None else at
        message = StageMessage.sign(
            self.key, self.plan.run, place, kind, self.number, micro_batch, payload, source=source, kept=kept
        )
        self.send_again(message, stages)
        return message

    def send_again(self, message: StageMessage, stages: Iterable[int]) -> None:
        """Send a message that was signed before, and remember for which stages it is.

        A stage that lies may tell two stages different things; each is sent again what it was sent.
        """
        receivers, header = [stage for stage in stages if stage != self.number], message.header
        known = self._sent.setdefault((header.step, header.attempt, header.kind, header.micro_batch), [])
        told = next((stages for stages, said in known if said == message), None)
        if told is None:
            known.append((set(receivers), message))
        else:
            told.update(receivers)
        if receivers:
            self._effects.append(SendStage(tuple(receivers), message.encode()))

    def repeat(self, stage: int, place: _Sent) -> bool:
        """Send a stage once more what it was sent; whether there is such a message for it."""
        messages = [message for receivers, message in self._sent.get(place, []) if stage in receivers]
        self._effects += [SendStage((stage,), message.encode()) for message in messages]
        return bool(messages)

    def repeat_all(self, kind: StageMessageKind, place: tuple[int, int]) -> None:
        """Send everything of a kind once more to all it was for."""
        for (*at, sent_kind, number), sent in list(self._sent.items()):
            if (tuple(at), sent_kind) == (place, kind):
                for stage in {stage for receivers, _ in sent for stage in receivers}:
                    self.repeat(stage, (*place, kind, number))

    def ask(self, stage: int, kind: StageMessageKind, number: int, place: tuple[int, int]) -> None:
        """Ask a stage for a message that has not come; `place` is step and attempt."""
        payload = encode([*place, int(kind), number])
        message = StageMessage.sign(
            self.key, self.plan.run, (self.step, 0), StageMessageKind.ASK, self.number, 0, payload
        )
        self._effects.append(SendStage((stage,), message.encode()))

    def strange(self, kind: StageMessageKind, stage: int, values: torch.Tensor) -> bool:
        """Whether what a stage has sent is far larger or smaller than what it has sent before."""
        return self._statistics.setdefault((kind, stage), BorderStatistics()).strange(values)

    def effect(self, effect: StageEffect) -> None:
        """Want something done outside."""
        self._effects.append(effect)

    def take_effects(self) -> list[StageEffect]:
        """Return what is to be done outside, once."""
        effects, self._effects = self._effects, []
        return effects

    def begin(self, step: int, keep_steps: int) -> None:
        """Go on to a step, and forget what was sent in those long before."""
        self.step, self.attempt = step, 0
        self.inbox.begin(step)
        self.channels.begin(step)
        self.batches = self.plan.batches(step)
        self._sent = {place: sent for place, sent in self._sent.items() if place[0] >= step - keep_steps}

    def reseat(self, stage: int, peer: PeerId) -> None:
        """Let a peer take a seat: nothing that its predecessor kept or signed counts from now on."""
        roster = (*self.plan.roster[:stage], peer, *self.plan.roster[stage + 1 :])
        self.plan = replace(self.plan, roster=roster)
        self.inbox.roster = roster
        self.vacant -= {stage}
        for source in (stage - 2, stage - 1, stage):
            self.channels.forget(source)
