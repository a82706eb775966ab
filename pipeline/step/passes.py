"""A stage's forward and backward passes, and what it compares on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

import torch

from btard.identity import Malformed
from btard.pipeline.caches.delta import CachesDiffer
from btard.pipeline.choices import CheckMode
from btard.pipeline.codecs import NotFinite
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.justice.case import Crossing
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import SignedHeader, StageMessage, StageMessageKind
from btard.pipeline.machine.shown import ShownMessage
from btard.pipeline.schedule.order import BackwardPass, ForwardPass, OptimizerStep, StageAction


class Waiting(Enum):
    """Why a pass does not go on."""

    MESSAGE = auto()
    """What it computes from has not come."""
    FOREVER = auto()
    """A value is not finite, and no codec has bytes for it."""


@dataclass(frozen=True, slots=True)
class BoundaryDiffers:
    """What is kept at a boundary differs from what the stage that sends there keeps."""

    source: int


PassOutcome = Waiting | Accusation | BoundaryDiffers | None
"""None where a pass was done."""


@dataclass
class Passes:
    """The passes of one attempt.

    Attributes:
        context: of the stage.
        losses: of the micro-batches, at the last stage.
        wanted: what the next pass waits for: kind, stage, micro-batch.
        strange: a stage that has sent something unusual, where stages are drawn; None if none has.
        crossings: how micro-batches have crossed boundaries, by the stage that sends and their number.
    """

    context: StageContext
    losses: list[float] = field(default_factory=list)
    wanted: list[tuple[StageMessageKind, int, int]] = field(default_factory=list)
    strange: int | None = None
    crossings: dict[tuple[int, int], Crossing] = field(default_factory=dict)
    _expected: dict[int, bytes] = field(default_factory=dict)
    """The gradients that the duplicate would send back, as they would travel."""

    def __post_init__(self) -> None:
        context = self.context
        self.todo: list[StageAction] = []
        if context.lineup.trains and context.number in context.lineup.live:
            live = context.lineup.live
            actions = context.plan.order.actions(len(live), live.index(context.number), context.plan.micro_batches)
            self.todo = [action for action in actions if not isinstance(action, OptimizerStep)]
            self._before, self._after = context.lineup.before(context.number), context.lineup.after(context.number)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.todo

    def advance(self) -> PassOutcome:
        """Do the next pass if what it needs is there."""
        self.wanted = []
        try:
            match self.todo[0]:
                case ForwardPass(number):
                    outcome = self._forward(number)
                case BackwardPass(number):
                    outcome = self._backward(number)
                case OptimizerStep():
                    raise AssertionError("steps are not among the passes")
        except NotFinite:
            return Waiting.FOREVER
        if outcome is None:
            self.todo.pop(0)
        return outcome

    def echoes(self) -> PassOutcome:
        """Compare what the stage before has sent back with what its duplicate would."""
        context = self.context
        self.wanted = []
        before = None if context.follower is None or not self._expected else context.lineup.before(context.number - 1)
        for number, own in self._expected.items():
            assert before is not None
            echo = context.find(StageMessageKind.ECHO, before, number)
            if echo is None:
                self.wanted.append((StageMessageKind.ECHO, before, number))
                return Waiting.MESSAGE
            sent = context.sent(StageMessageKind.GRADIENT, number)
            shown = self._shown(echo, number)
            if shown is None or sent is None or shown.signed.header.basis != sent.header.payload:
                # No honest neighbour shows a gradient that was not computed from what this stage has sent.
                self.wanted.append((StageMessageKind.ECHO, before, number))
                return Waiting.MESSAGE
            try:
                right = self._same_back(own, shown)
            except Malformed:
                return self._accuse(Claim.UNREADABLE, shown.signed)
            if not right:
                return self._accuse(Claim.GRADIENT, shown.signed)
        return None

    def echoed(self, number: int) -> SignedHeader | None:
        """Return the header of the gradient that the stage before has sent back, as its neighbour has shown it."""
        before = self.context.lineup.before(self.context.number - 1)
        echo = None if before is None else self.context.find(StageMessageKind.ECHO, before, number)
        shown = None if echo is None else self._shown(echo, number)
        return None if shown is None else shown.signed

    def _shown(self, echo: StageMessage, number: int) -> ShownMessage | None:
        """Return the gradient that an echo shows, None if it is not one of the stage before."""
        context, accused = self.context, self.context.number - 1
        try:
            shown = ShownMessage.decode(echo.payload)
            told = shown.signed.header
            wanted = (context.step, context.attempt, StageMessageKind.GRADIENT, accused, number)
            if (told.step, told.attempt, told.kind, told.stage, told.micro_batch) != wanted:
                return None
            shown.signed.verify(context.plan.roster[accused])
        except Malformed:
            return None
        return shown

    def _same_back(self, own: bytes, shown: ShownMessage) -> bool:
        if shown.payload:
            return self.context.channels.same_back(own, shown.payload)
        return shown.is_of(own)

    def _forward(self, number: int) -> PassOutcome:
        context, channels = self.context, self.context.channels
        given: StageMessage | None = None
        received: torch.Tensor | None = None
        if self._before is not None:
            given = self._arrived(StageMessageKind.ACTIVATION, self._before, number)
            if given is None:
                return Waiting.MESSAGE
            checked = self._check_activation(number, given)
            if checked is not None:
                return checked
            self._note(self._before, number)
            try:
                read = channels.read(context.lineup, self._before, number, given.payload, given.header.kept)
            except Malformed:
                return self._accuse(Claim.UNREADABLE, given.signed)
            if isinstance(read, CachesDiffer):
                return BoundaryDiffers(self._before)
            received = read
            self._watch(StageMessageKind.ACTIVATION, self._before, received)
        output = context.worker.forward(number, context.batches[number], received)
        if self._after is None:
            self.losses.append(float(output))
            return None
        self._send_forward(number, output, given)
        return None

    def _send_forward(self, number: int, output: torch.Tensor, given: StageMessage | None) -> None:
        """Send an activation to the next stage, and to the stage that checks that one."""
        context, place = self.context, self.context.place(number)
        assert self._after is not None
        said = context.behaviour.activation(place, output)
        checker = context.lineup.checker(self._after)
        jumped = said if checker is None else context.behaviour.jump(place, said)
        frames = checker is not None and jumped is not said
        framing = context.channels.write(context.lineup, context.number, number, jumped, keep=False) if frames else None
        self._note(context.number, number)
        data, kept = context.channels.write(context.lineup, context.number, number, said, keep=True)
        receivers = [self._after] if checker is None or frames else [self._after, checker]
        context.send(StageMessageKind.ACTIVATION, receivers, data, number, source=given, kept=kept)
        if checker is not None and framing is not None:
            data, kept = framing
            at, kind = (context.step, context.attempt), StageMessageKind.ACTIVATION
            other = StageMessage.sign(
                context.key, context.plan.run, at, kind, context.number, number, data, source=given, kept=kept
            )
            context.send_again(other, [checker])

    def _watch(self, kind: StageMessageKind, stage: int, values: torch.Tensor) -> None:
        plan = self.context.plan
        if plan.checked and plan.mode is CheckMode.DRAWN and self.context.strange(kind, stage, values):
            self.strange = stage

    def _watch_back(self, stage: int, gradient: torch.Tensor) -> None:
        """Watch a gradient without its scale, which changes when it overflows."""
        scale = self.context.worker.scale
        if scale is None:
            self._watch(StageMessageKind.GRADIENT, stage, gradient)
        elif bool(torch.isfinite(gradient).all()):
            self._watch(StageMessageKind.GRADIENT, stage, gradient / scale.factor)

    def _note(self, source: int, number: int) -> None:
        """Keep how a micro-batch crosses a boundary, before that changes what is kept there."""
        context = self.context
        if context.plan.checked or context.plan.recorded:
            form, entries = context.channels.crossing(context.lineup, source, number)
            self.crossings[source, number] = Crossing(form, entries)

    def _check_activation(self, number: int, given: StageMessage) -> PassOutcome:
        """Compute with the duplicate what the stage before was to send, and compare."""
        context, channels, follower = self.context, self.context.channels, self.context.follower
        if follower is None:
            return None
        two_before = context.lineup.before(context.number - 1)
        assert two_before is not None
        source = self._arrived(StageMessageKind.ACTIVATION, two_before, number)
        if source is None:
            return Waiting.MESSAGE
        if given.header.basis != source.header.payload:
            # The stage before shows what it was sent with its author's signature, so that author has signed two things.
            return self._accuse(Claim.TWO_FACED, SignedHeader.decode(given.attached), source.signed)
        self._note(two_before, number)
        try:
            received = channels.read(context.lineup, two_before, number, source.payload, source.header.kept)
        except Malformed:
            return self._accuse(Claim.UNREADABLE, source.signed)
        if isinstance(received, CachesDiffer):
            return BoundaryDiffers(two_before)
        output = follower.forward(number, context.batches[number], received)
        self._note(context.number - 1, number)
        own, kept = channels.write(context.lineup, context.number - 1, number, output, keep=False)
        if kept != given.header.kept:
            return BoundaryDiffers(context.number - 1)
        if context.behaviour.accuses(context.place(number)):
            return Accusation(Claim.ACTIVATION, given.signed)
        try:
            right = channels.same(context.lineup, context.number - 1, number, own, given.payload)
        except Malformed:
            return self._accuse(Claim.UNREADABLE, given.signed)
        return None if right else self._accuse(Claim.ACTIVATION, given.signed)

    def _backward(self, number: int) -> PassOutcome:
        context, channels = self.context, self.context.channels
        gradient = torch.tensor(1.0 / context.plan.micro_batches)
        if self._after is None:
            # A loss has no message; what it was computed from is shown in its place.
            message = None if self._before is None else context.find(StageMessageKind.ACTIVATION, self._before, number)
        else:
            message = self._arrived(StageMessageKind.GRADIENT, self._after, number)
            if message is None:
                return Waiting.MESSAGE
            try:
                gradient = channels.read_back(message.payload)
            except Malformed:
                return self._accuse(Claim.UNREADABLE, message.signed)
            self._watch_back(self._after, gradient)
            watcher = context.lineup.checker(self._after)
            if watcher is not None:
                shown = ShownMessage.of(message, whole=not context.plan.comparison.exact)
                context.send(StageMessageKind.ECHO, [watcher], shown.encode(), number)
        back = context.worker.backward(number, gradient)
        if self._before is None or back is None:
            return None
        data = channels.write_back(context.number, number, context.behaviour.gradient(context.place(number), back))
        context.send(StageMessageKind.GRADIENT, [self._before], data, number, source=message)
        if context.follower is not None:
            own = context.follower.backward(number, channels.read_back(data))
            assert own is not None
            self._expected[number] = channels.write_back(context.number - 1, number, own)
        return None

    def _arrived(self, kind: StageMessageKind, stage: int, number: int) -> StageMessage | None:
        """Return what a stage has sent, None while it has not, or shows nothing that its neighbour has sent it."""
        lineup, message = self.context.lineup, self.context.find(kind, stage, number)
        if message is None or shown_source(message) != lineup.source(kind, stage):
            self.wanted.append((kind, stage, number))
            return None
        return message

    def _accuse(self, claim: Claim, said: SignedHeader, other: SignedHeader | None = None) -> PassOutcome:
        context = self.context
        if not context.plan.checked:
            return Waiting.FOREVER
        if context.behaviour.tolerates(context.place(), said.header.stage):
            return None if claim in (Claim.ACTIVATION, Claim.GRADIENT) else Waiting.FOREVER
        return Accusation(claim, said, other)


def shown_source(message: StageMessage) -> tuple[StageMessageKind, int] | None:
    """Return kind and stage of what a message shows that it was computed from; the inbox has read it."""
    if not message.attached:
        return None
    header = SignedHeader.decode(message.attached).header
    return header.kind, header.stage
