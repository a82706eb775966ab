"""Peers without a model: the vectors that they submit are given, so that a measurement is one of the rounds alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures

import torch

from btard.behaviour import Behaviour
from btard.executor import Executor, TimeLeft
from btard.exhibits import Exhibit, Fits
from btard.identity import PeerId
from btard.round.actions import Examine
from btard.round.attempt.attempt import Attempt
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.trainer import Contribution
from btard.transport.driver import in_worker
from btard.transport.vector_trainer import VectorTrainer


class GivenVectors(Executor):
    """The executor of an honest peer that computes no gradients.

    Args:
        worker: does all other work.
        own: gives what this peer submits, float32 of shape (d,).
        of: what a peer has to submit, float32 of shape (d,).
    """

    def __init__(
        self,
        rules: StepRules,
        me: PeerId,
        worker: futures.Executor,
        own: Callable[[], Awaitable[torch.Tensor]],
        of: Callable[[PeerId], torch.Tensor],
    ) -> None:
        trainer = VectorTrainer(lambda seed, parameters: parameters, torch.empty(0))
        super().__init__(rules, me, Behaviour(), trainer, ShowingNothing(), in_worker(worker))
        self._own = own
        self._of = of

    async def contribution(self, roster: Roster) -> Contribution:
        return Contribution(await self._own(), b"")

    async def required(
        self, record: Attempt, task: Examine, time_left: TimeLeft, *, continuing: bool = True
    ) -> torch.Tensor | None:
        return self._of(task.target)


class ShowingNothing:
    """Peers that nobody examines on more than what they have published."""

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> None:
        return None

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        return ()
