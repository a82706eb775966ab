"""Carries out a session's actions over a real transport: asyncio's clock, a worker thread for the heavy work."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import thread_time
from typing import TypeVar

import torch

from btard.identity import PeerId
from btard.round.actions import (
    Action,
    AggregateAgain,
    AggregateRows,
    EncodeParts,
    Examine,
    Finished,
    InspectRow,
    MeasureRows,
    Send,
    SendPart,
    Stopped,
    Voided,
)
from btard.round.attempt.attempt import Attempt
from btard.round.messages.bodies import LeaveReason
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.vectors.work import (
    UNKNOWN,
    UNSEEN,
    Finding,
    Link,
    aggregate_rows,
    compare_again,
    encode_parts,
    examine,
    inspect_row,
    measure_rows,
)
from btard.transport.base import Transport
from btard.transport.stages import Stage, StageClock

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Contribution:
    """What a peer sends in a step.

    Attributes:
        vector: float32 of shape (d,), not to be changed before the step ends.
        momentum: digest of the momentum that it was built on; empty where the run uses none.
    """

    vector: torch.Tensor
    momentum: bytes = b""


Recompute = Callable[[Attempt, PeerId, Link | None], Awaitable[torch.Tensor | None]]
"""Gives the vector that a peer had to send in the step of a record, or None where this peer cannot know it; raises
Withheld. The link is what the target was last seen to submit before that step."""


class Withheld(Exception):
    """The target does not show the momentum that its vector was built on."""


OnExamined = Callable[[int, PeerId, Finding], None]
"""Is told by a validator: the step in which it validated, whom, and what it found."""

Charge = Callable[[PeerId, float], None]
"""Lets a peer pay for seconds of processor time."""


class SessionDriver:
    """Drives one Session; it is the transport's Inbox. Use from one event loop.

    Args:
        recompute: does a validator's and a judge's work.
        worker: runs encoding, hashing, aggregation and measuring; one thread is enough, since they follow each other.
        on_voided: is told of every failed attempt.
        on_examined: is told what this peer found as a validator.
        charge: is told who has sent what this peer then looked at together, and what that took of each.

    Attributes:
        stages: how long the stages of the current step, or of the last one, have taken.
    """

    def __init__(
        self,
        session: Session,
        transport: Transport,
        rules: StepRules,
        recompute: Recompute,
        worker: Executor,
        on_voided: Callable[[Voided], None],
        on_examined: OnExamined | None = None,
        charge: Charge | None = None,
    ) -> None:
        self._session = session
        self._transport = transport
        self._rules = rules
        self._recompute = recompute
        self._worker = worker
        self._on_voided = on_voided
        self._on_examined = on_examined
        self._charge = charge
        self._spoke: set[PeerId] = set()
        self.stages = StageClock()
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._outcome: asyncio.Future[Finished | Stopped] | None = None
        self._contribution: Contribution | None = None
        self._request: EncodeParts | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_step(
        self,
        roster: Roster,
        state: bytes,
        contribution: Callable[[], Awaitable[Contribution]],
        candidates: tuple[PeerId, ...] = (),
    ) -> Finished | Stopped:
        """Take part in the step of `roster`.

        Args:
            state: digest of the training state that the gradient is computed on.
            contribution: computes what to send; not called when this peer validates another instead.
            candidates: newcomers to admit.

        Raises:
            Exception: whatever `contribution`, the recomputation or the worker raises.
        """
        self._outcome = asyncio.get_running_loop().create_future()
        self._contribution = None
        self.stages.restart(self._now)
        self._perform(self._session.begin(self._now, roster, state, candidates))
        if self._session.submits:
            self._start(self._encode_when_ready(contribution))
        try:
            return await self._outcome
        finally:
            self.stages.stop(self._now)
            self._watch()
            for task in self._tasks:
                task.cancel()

    async def _encode_when_ready(self, contribution: Callable[[], Awaitable[Contribution]]) -> None:
        self._contribution = await contribution()
        await self._encode()

    async def _encode(self) -> None:
        if self._contribution is None or self._request is None:
            return
        request, self._request = self._request, None
        ready, rules = self._contribution, self._rules
        parts, digests = await self._work(encode_parts, ready.vector, request.count, rules.wire, rules.aggregation)
        self.stages.enter(Stage.SCATTER, self._now)
        self._perform(self._session.parts_ready(self._now, request.attempt, parts, digests, ready.momentum))

    async def _aggregate(self, request: AggregateRows) -> None:
        result = await self._work(aggregate_rows, request, self._rules.wire, self._rules.aggregation)
        self.stages.enter(Stage.GATHER, self._now)
        self._perform(self._session.aggregate_ready(self._now, request.attempt, result))

    async def _measure(self, request: MeasureRows) -> None:
        result = await self._work(measure_rows, request)
        self.stages.enter(Stage.AGREE, self._now)
        self._perform(self._session.measured(self._now, request.attempt, result))

    async def _inspect(self, request: InspectRow) -> None:
        row = await self._work(inspect_row, request, self._rules.aggregation)
        self._perform(self._session.inspected(self._now, request.attempt, request.author, request.part, row))

    async def _aggregate_again(self, request: AggregateAgain) -> None:
        excess = await self._work(compare_again, request, self._rules.aggregation)
        self._perform(self._session.aggregated_again(self._now, request.attempt, request.part, excess))

    async def _look_at(self, record: Attempt, target: PeerId) -> Finding:
        try:
            vector = await self._recompute(record, target, self._session.links.get(target))
        except Withheld:
            return UNSEEN
        return UNKNOWN if vector is None else await self._work(examine, record, target, vector)

    async def _examine(self, target: PeerId) -> None:
        record, roster = self._session.previous, self._session.roster
        assert roster is not None
        finding = UNKNOWN
        if record is not None and target in record.said.commits and target in record.seats.submitters:
            for _ in range(2):
                finding = await self._look_at(record, target)
                if not finding.accuse and not finding.withheld:
                    break  # only what can be reproduced is worth an accusation
        if self._session.machine is not None and self._session.machine.attempt.seats.target == target:
            self.stages.enter(Stage.SCATTER, self._now)
            if self._on_examined is not None:
                self._on_examined(roster.step, target, finding)
        self._perform(self._session.examined(self._now, roster.step, target, finding))

    def leave(self, reason: LeaveReason) -> None:
        """Tell the other members goodbye."""
        self._perform(self._session.leave(reason))

    def on_message(self, sender: PeerId, data: bytes) -> None:
        """See `Inbox`."""
        self._spoke.add(sender)
        self._perform(self._session.on_message(self._now, sender, data))

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        """See `Inbox`."""
        return self._session.accept_part(sender, header, length)

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
        """See `Inbox`."""
        useless = self._session.on_part(sender, header, digest)
        self._watch()
        return useless

    def on_part_failed(self, sender: PeerId, header: bytes) -> None:
        """See `Inbox`."""
        self._perform(self._session.on_part_failed(self._now, sender, header))

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _work(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    def _start(self, work: Awaitable[None]) -> None:
        """Run work in the background; what it raises ends the step."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                if self._outcome is not None and not self._outcome.done():
                    self._outcome.set_exception(error)
                else:
                    logger.warning("after the end of a step: %r", error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send(peers, data, delay):
                    for peer in peers:
                        if delay > 0:
                            asyncio.get_running_loop().call_later(delay, self._transport.send, peer, data)
                        else:
                            self._transport.send(peer, data)
                case SendPart(peer, header, payload):
                    self._transport.send_part(peer, header, payload)
                case EncodeParts():
                    self.stages.enter(Stage.COMPUTE, self._now)
                    self._request = action
                    self._start(self._encode())
                case AggregateRows():
                    self.stages.enter(Stage.AGGREGATE, self._now)
                    self._start(self._aggregate(action))
                case MeasureRows():
                    self.stages.enter(Stage.MEASURE, self._now)
                    self._start(self._measure(action))
                case InspectRow():
                    self._start(self._inspect(action))
                case AggregateAgain():
                    self._start(self._aggregate_again(action))
                case Examine(target):
                    self._start(self._examine(target))
                case Voided():
                    self._on_voided(action)
                case Finished() | Stopped():
                    if self._outcome is not None and not self._outcome.done():
                        self._outcome.set_result(action)
        self._watch()

    def _watch(self) -> None:
        """Keep one timer, at the session's deadline."""
        deadline = self._session.deadline
        if deadline == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, deadline
        loop = asyncio.get_running_loop()
        if deadline == -math.inf:
            self._timer = loop.call_soon(self._tick)  # after what else has arrived by now
        elif deadline < math.inf:
            self._timer = loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer_at = math.inf
        spoke, self._spoke = self._spoke, set()
        began = thread_time()
        self._perform(self._session.tick(self._now))
        if spoke and self._charge is not None:
            each = (thread_time() - began) / len(spoke)
            for peer in spoke:
                self._charge(peer, each)
