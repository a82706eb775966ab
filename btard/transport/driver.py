"""Carries out a session's actions over a real transport: asyncio's clock, a worker thread for the heavy work."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from time import thread_time
from typing import NamedTuple, Protocol, TypeVar

from btard.executor import Executor
from btard.exhibits import Exhibit, Relaying, Run
from btard.identity import PeerId
from btard.round.actions import (
    Action,
    AggregateRows,
    ComputeGradient,
    EncodeParts,
    Finished,
    MeasureRows,
    Send,
    SendPart,
    Stopped,
    Task,
    Voided,
)
from btard.round.attempt.minutes import Minutes
from btard.round.messages.bodies import NOBODY, Candidates, LeaveReason, Phase
from btard.round.roster import Roster
from btard.round.session import Session
from btard.round.work.answers import PartsEncoded, RowsAggregated, RowsMeasured, TargetExamined
from btard.round.work.examination import Finding
from btard.transport.base import Transport
from btard.transport.stages import Stage, StageClock

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Observer(Protocol):
    """Is told what happens within a step. Calls are made from the event loop."""

    def on_voided(self, event: Voided) -> None:
        """An attempt has failed."""

    def on_examined(self, step: int, target: PeerId, finding: Finding) -> None:
        """This peer has validated another in a step."""


Charge = Callable[[PeerId, float], None]
"""Lets a peer pay for seconds of processor time."""


def in_worker(worker: futures.Executor) -> Run:
    """Return what runs work in a worker; one thread is enough for a session, whose tasks follow each other."""

    async def run(work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, work)

    return run


class _Plan(NamedTuple):
    """When the next tick comes."""

    soon: bool
    at: float


_NOTHING = _Plan(False, math.inf)


class SessionDriver:
    """Drives one Session; it is the transport's Inbox. Use from one event loop.

    Args:
        executor: does what the session asks for.
        charge: is told the senders of what this peer then looked at together, and what that took of each.

    Attributes:
        stages: how long the stages of the current step, or of the last one, have taken.
    """

    def __init__(
        self,
        session: Session,
        transport: Transport,
        executor: Executor,
        charge: Charge | None = None,
    ) -> None:
        self._session = session
        self._transport = transport
        self._executor = executor
        self._charge = charge
        self._spoke: set[PeerId] = set()
        self.stages = StageClock()
        self._timer: asyncio.Handle | None = None
        self._planned = _NOTHING
        self._observer: Observer | None = None
        self._outcome: asyncio.Future[Finished | Stopped] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def usual_seconds(self) -> float | None:
        """In how many seconds half of the members commit, by the clock of this peer; None before that is known."""
        return self._session.pace.usual(Phase.COMMIT)

    def go_on(self, session: Session, executor: Executor) -> None:
        """Drive another session from now on, between two steps."""
        self._session, self._executor = session, executor
        self._watch()

    def minutes(self, step: int) -> Minutes | None:
        """See `Legacy.minutes`."""
        return self._session.legacy.minutes(step)

    def abandon(self, reason: str) -> None:
        """Give up the step that is going on: most members are in it no more."""
        if self._outcome is not None and not self._outcome.done():
            self._perform(self._session.abandon(reason))

    def is_member(self, peer: PeerId) -> bool:
        """See `Session.is_member`."""
        return self._session.is_member(peer)

    def attach(self, observer: Observer) -> None:
        """Let this one be told what happens."""
        self._observer = observer

    async def run_step(self, roster: Roster, state: bytes, candidates: Candidates = NOBODY) -> Finished | Stopped:
        """Take part in the step of `roster`.

        Args:
            state: digest of the training state that the gradient is computed on.
            candidates: newcomers to admit.

        Raises:
            Exception: whatever the trainer or the worker raises.
        """
        self._outcome = asyncio.get_running_loop().create_future()
        self.stages.restart(self._now)
        self._perform(self._session.begin(self._now, roster, state, candidates))
        try:
            return await self._outcome
        finally:
            self.stages.stop(self._now)
            self._watch()
            for task in self._tasks:
                task.cancel()

    async def _carry_out(self, task: Task) -> None:
        answer = await self._executor.carry_out(task)
        match answer:
            case PartsEncoded():
                self.stages.enter(Stage.SCATTER, self._now)
            case RowsAggregated():
                self.stages.enter(Stage.GATHER, self._now)
            case RowsMeasured():
                self.stages.enter(Stage.AGREE, self._now)
            case TargetExamined(step, target, finding) if self._session.target == target:
                self.stages.enter(Stage.SCATTER, self._now)
                if self._observer is not None:
                    self._observer.on_examined(step, target, finding)
        self._perform(self._session.answer(self._now, answer))

    def tell_at_work(self, roster: Roster) -> None:
        """Tell the other members of a step that this peer loads the state, and will commit."""
        self._perform(self._session.tell_at_work(roster))

    def leave(self, reason: LeaveReason) -> None:
        """Tell the other members goodbye."""
        self._perform(self._session.leave(reason))

    def commits_of(self, target: PeerId, step: int) -> bytes | None:
        """See `Session.commits_of`."""
        return self._session.commits_of(target, step)

    async def shows(self, asker: PeerId, what: Exhibit, target: PeerId, step: int) -> bytes | None:
        """See `Executor.shows`."""
        relaying = Relaying(self._session, lambda: self._now)
        return await self._executor.shows(relaying, asker, what, target, step)

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
                case Voided():
                    if self._observer is not None:
                        self._observer.on_voided(action)
                case Finished() | Stopped():
                    if self._outcome is not None and not self._outcome.done():
                        self._outcome.set_result(action)
                case _:
                    self._enter(action)
                    self._start(self._carry_out(action))
        self._watch()

    def _enter(self, task: Task) -> None:
        """Enter the stage that a task begins, if it begins one."""
        match task:
            case ComputeGradient() | EncodeParts():
                self.stages.enter(Stage.COMPUTE, self._now)
            case AggregateRows():
                self.stages.enter(Stage.AGGREGATE, self._now)
            case MeasureRows():
                self.stages.enter(Stage.MEASURE, self._now)

    def _watch(self) -> None:
        """Keep one call of `_tick` planned: as soon as possible if the session wants that, else at its deadline."""
        soon = self._session.wants_tick
        plan = _Plan(soon, 0.0 if soon else self._session.deadline)
        if plan == self._planned:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._planned = None, plan
        loop = asyncio.get_running_loop()
        if soon:
            self._timer = loop.call_soon(self._tick)  # after what else has arrived by now
        elif plan.at < math.inf:
            self._timer = loop.call_at(plan.at, self._tick)

    def _tick(self) -> None:
        self._planned = _NOTHING
        spoke, self._spoke = self._spoke, set()
        began = thread_time()
        self._perform(self._session.tick(self._now))
        if spoke and self._charge is not None:
            each = (thread_time() - began) / len(spoke)
            for peer in spoke:
                self._charge(peer, each)
