"""Carries out a session's actions over a real transport: asyncio's clock, a worker thread for the heavy work."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import torch

from btard.behaviour import LeaveReason
from btard.identity import PeerId
from btard.round.actions import Action, AggregateRows, EncodeParts, Finished, Send, SendPart, Stopped, Voided
from btard.round.partition import WireType
from btard.round.roster import Roster
from btard.round.session import Session
from btard.round.work import AggregationRules, aggregate_rows, encode_parts
from btard.transport.base import Transport

logger = logging.getLogger(__name__)
T = TypeVar("T")


class SessionDriver:
    """Drives one Session; it is the transport's Inbox. Use from one event loop.

    Args:
        worker: runs encoding, hashing and aggregation; one thread is enough, since they follow each other.
        on_voided: is told of every failed attempt.
    """

    def __init__(
        self,
        session: Session,
        transport: Transport,
        wire: WireType,
        aggregation: AggregationRules,
        worker: Executor,
        on_voided: Callable[[Voided], None],
    ) -> None:
        self._session = session
        self._transport = transport
        self._wire = wire
        self._aggregation = aggregation
        self._worker = worker
        self._on_voided = on_voided
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._outcome: asyncio.Future[Finished | Stopped] | None = None
        self._vector: torch.Tensor | None = None
        self._request: EncodeParts | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_step(
        self, roster: Roster, state: bytes, gradient: Awaitable[torch.Tensor], candidates: tuple[PeerId, ...] = ()
    ) -> Finished | Stopped:
        """Take part in the step of `roster`.

        Args:
            state: digest of the training state that the gradient is computed on.
            gradient: gives the vector to send, float32 of shape (d,), not to be changed before the step ends.
            candidates: newcomers to admit.

        Raises:
            Exception: whatever `gradient` or the worker raises.
        """
        self._outcome = asyncio.get_running_loop().create_future()
        self._vector = None
        self._perform(self._session.begin(self._now, roster, state, candidates))
        self._start(self._encode_when_ready(gradient))
        try:
            return await self._outcome
        finally:
            self._watch()
            for task in self._tasks:
                task.cancel()

    async def _encode_when_ready(self, gradient: Awaitable[torch.Tensor]) -> None:
        self._vector = await gradient
        await self._encode()

    async def _encode(self) -> None:
        if self._vector is None or self._request is None:
            return
        request, self._request = self._request, None
        parts, digests = await self._work(encode_parts, self._vector, request.count, self._wire)
        self._perform(self._session.parts_ready(self._now, request.attempt, parts, digests))

    async def _aggregate(self, request: AggregateRows) -> None:
        payload, refused = await self._work(
            aggregate_rows, request.rows, request.members, self._wire, self._aggregation
        )
        self._perform(self._session.aggregate_ready(self._now, request.attempt, payload, refused))

    def leave(self, reason: LeaveReason) -> None:
        """Tell the other members goodbye."""
        self._perform(self._session.leave(reason))

    def on_message(self, sender: PeerId, data: bytes) -> None:
        """See `Inbox`."""
        self._perform(self._session.on_message(self._now, sender, data))

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        """See `Inbox`."""
        return self._session.accept_part(sender, header, length)

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> None:
        """See `Inbox`."""
        self._perform(self._session.on_part(self._now, sender, header, payload, digest))

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
                case Send(peers, data):
                    for peer in peers:
                        self._transport.send(peer, data)
                case SendPart(peer, header, payload):
                    self._transport.send_part(peer, header, payload)
                case EncodeParts():
                    self._request = action
                    self._start(self._encode())
                case AggregateRows():
                    self._start(self._aggregate(action))
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
        if deadline < math.inf:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer_at = math.inf
        self._perform(self._session.tick(self._now))
