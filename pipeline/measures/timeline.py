"""A step of a pipeline on a virtual clock: which stage computes and sends what, and when, over slow links.

Only durations and sizes count, so a model of any size takes no time. A stage sends while it computes; each has one way
out, on which one message follows another (`btard.transport.shaping`), and what is lost there is sent once more.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from btard.hashing import tagged_digest
from btard.pipeline.schedule.order import BackwardPass, ForwardPass, OptimizerStep, PipelineOrder, StageAction
from btard.transport.shaping import LinkConditions, Shaper


class SlotKind(StrEnum):
    """What a slot of a stage's time is spent on."""

    FORWARD = "forward"
    BACKWARD = "backward"
    SEND_ACTIVATION = "send activation"
    SEND_GRADIENT = "send gradient"


@dataclass(frozen=True, slots=True)
class StageWork:
    """Seconds that a stage computes on a micro-batch, each way."""

    forward_seconds: float
    backward_seconds: float


@dataclass(frozen=True)
class StepShape:
    """What decides how long a step takes.

    Attributes:
        order: how passes alternate.
        micro_batches: of the step.
        work: of each stage, first stage first.
        forward_bytes, backward_bytes: of a micro-batch's activation, and of its gradient, as they travel.
        link: every stage's way out.
    """

    order: PipelineOrder
    micro_batches: int
    work: Sequence[StageWork]
    forward_bytes: int
    backward_bytes: int
    link: LinkConditions


@dataclass(frozen=True, slots=True)
class TimelineSlot:
    """One thing that a stage did; times in seconds from the start of the step."""

    stage: int
    kind: SlotKind
    micro_batch: int
    start: float
    seconds: float

    @property
    def sends(self) -> bool:
        """Whether the link was taken, not the processor."""
        return self.kind in (SlotKind.SEND_ACTIVATION, SlotKind.SEND_GRADIENT)


@dataclass(frozen=True)
class Timeline:
    """A step: all its slots, in the order in which they began at each stage."""

    stages: int
    slots: Sequence[TimelineSlot]

    @property
    def seconds(self) -> float:
        """Until the last stage has computed its last pass."""
        return max(slot.start + slot.seconds for slot in self.slots if not slot.sends)

    @property
    def bubble(self) -> float:
        """Share of all stages' time, in [0, 1), in which they do not compute."""
        busy = sum(slot.seconds for slot in self.slots if not slot.sends)
        return 1 - busy / (self.stages * self.seconds)


def simulate_step(shape: StepShape) -> Timeline:
    """Return a step's timeline."""
    return _Simulation(shape).run()


@dataclass
class _Simulation:
    shape: StepShape
    slots: list[TimelineSlot] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape, stages = self.shape, len(self.shape.work)
        self._todo = [list(shape.order.actions(stages, stage, shape.micro_batches))[::-1] for stage in range(stages)]
        self._free = [0.0] * stages
        seeds = [tagged_digest("btard pipeline link", stage.to_bytes(4, "big")) for stage in range(stages)]
        self._ways = [Shaper(shape.link, seed) for seed in seeds]
        self._arrived: dict[tuple[int, StageAction], float] = {}
        self._events: list[tuple[float, int]] = [(0.0, stage) for stage in range(stages)]
        for number in range(shape.micro_batches):
            self._arrived[0, ForwardPass(number)] = self._arrived[stages - 1, BackwardPass(number)] = 0.0

    def run(self) -> Timeline:
        while self._events:
            now, stage = heapq.heappop(self._events)
            action = self._todo[stage][-1]
            at = self._arrived.get((stage, action))
            if at is not None and max(at, self._free[stage]) <= now:
                self._act(stage, self._todo[stage].pop(), now)
        return Timeline(len(self._free), self.slots)

    def _act(self, stage: int, action: StageAction, now: float) -> None:
        work = self.shape.work[stage]
        match action:
            case ForwardPass(number):
                seconds, kind, towards = work.forward_seconds, SlotKind.FORWARD, stage + 1
                size, sent = self.shape.forward_bytes, SlotKind.SEND_ACTIVATION
            case BackwardPass(number):
                seconds, kind, towards = work.backward_seconds, SlotKind.BACKWARD, stage - 1
                size, sent = self.shape.backward_bytes, SlotKind.SEND_GRADIENT
            case OptimizerStep():
                return
        self.slots.append(TimelineSlot(stage, kind, number, now, seconds))
        self._free[stage] = now + seconds
        heapq.heappush(self._events, (now + seconds, stage))
        if 0 <= towards < len(self._free):
            arrival = self._send(TimelineSlot(stage, sent, number, now + seconds, 0.0), size)
            self._arrived[towards, action] = arrival
            heapq.heappush(self._events, (arrival, towards))

    def _send(self, slot: TimelineSlot, size: int) -> float:
        """Put a message on its sender's way out, again if it is lost, and return when it arrives."""
        way, taken = self._ways[slot.stage], size / self.shape.link.rate
        while True:
            left = way.occupy(slot.start, size)
            self.slots.append(TimelineSlot(slot.stage, slot.kind, slot.micro_batch, left - taken, taken))
            arrival = way.arrival()
            if arrival is not None:
                return arrival


def work_for(seconds: float, shape: StepShape, backward_share: float = 2.0) -> StageWork:
    """Return how long each stage must compute for a step to take so long, all stages alike.

    Args:
        seconds: of the step; more than the links alone take.
        shape: of the step; its `work` only says how many stages there are.
        backward_share: how much longer a backward pass takes than a forward pass.
    """
    low, high = 0.0, seconds
    for _ in range(60):
        middle = (low + high) / 2
        work = StageWork(middle, backward_share * middle)
        again = replace(shape, work=[work] * len(shape.work))
        low, high = (middle, high) if simulate_step(again).seconds < seconds else (low, middle)
    return StageWork(low, backward_share * low)


def chrome_trace(timeline: Timeline) -> dict[str, object]:
    """Return a step as a browser's `chrome://tracing` reads it: for each stage a row of passes and one of sends."""
    events: list[dict[str, object]] = []
    for stage in range(timeline.stages):
        for row, what in ((2 * stage, "computes"), (2 * stage + 1, "sends")):
            name = {"name": f"stage {stage} {what}"}
            events.append({"name": "thread_name", "ph": "M", "pid": 0, "tid": row, "args": name})
    for slot in timeline.slots:
        events.append(
            {
                "name": f"{slot.kind} {slot.micro_batch}",
                "cat": str(slot.kind),
                "ph": "X",
                "pid": 0,
                "tid": 2 * slot.stage + slot.sends,
                "ts": 1e6 * slot.start,
                "dur": 1e6 * slot.seconds,
            }
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}
