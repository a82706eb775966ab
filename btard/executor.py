"""Carries out what a session asks for and answers it: one way for daemons and simulated peers.

The two differ in what they supply: the trainer, how a peer asks another to show something, and where heavy work runs.
Simulated peers supply what never waits, and run all of this in one go.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.round.actions import CheckOpening, ComputeGradient, Examine, Task
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pledges import Pledges
from btard.round.messages.accusations import Opinion
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.work.answers import Answer, GradientComputed, OpeningChecked, TargetExamined
from btard.round.work.examination import (
    CAUGHT,
    UNKNOWN,
    UNSEEN,
    Finding,
    Recomputed,
    continues,
    examine,
    examine_shown,
    opinion_on,
    unlike,
    worst,
)
from btard.round.work.execute import execute
from btard.round.work.seals import opening_excess, sketch
from btard.tensors import bytes_of
from btard.trainer import Contribution, Trainer
from btard.vectors.momentum import Link, base_from_bytes
from btard.vocabulary import Validation

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Material(Protocol):
    """What peers, this one included, show of a step to a peer that examines somebody's vector of it."""

    async def momentum(self, target: PeerId, step: int) -> bytes | None:
        """Return the 4 d float32 bytes that the target's vector was built on, None if it shows none."""

    async def vector(self, target: PeerId, step: int) -> bytes | None:
        """Return the 4 d float32 bytes of the vector that the target sent in all attempts, None if it shows none."""

    async def commits(self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int) -> Sequence[bytes]:
        """Return what the holders show of the target's commitments in failed attempts (`Pledges.encode`)."""


class Run(Protocol):
    """Where heavy work is done: `await run(function)` returns what the function does."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Withheld(Exception):
    """The target does not show the momentum that its vector was built on."""


class Executor:
    """Does the work of one peer, lies of its behaviour included.

    Args:
        me: the own peer id.
        material: asks peers to show something.
        run: does encoding, hashing, aggregating and measuring; what the trainer does it does where it likes.
    """

    def __init__(
        self, rules: StepRules, me: PeerId, behaviour: Behaviour, trainer: Trainer, material: Material, run: Run
    ) -> None:
        self._rules = rules
        self._me = me
        self._behaviour = behaviour
        self._trainer = trainer
        self._material = material
        self._run = run

    async def carry_out(self, task: Task) -> Answer:
        """Do what is asked for, and return the answer; raises what the trainer and the work raise."""
        match task:
            case ComputeGradient(roster):
                made = await self.contribution(roster)
                return GradientComputed(roster.step, made.vector, made.momentum)
            case Examine():
                return TargetExamined(task.step, task.target, *await self._examine(task))
            case CheckOpening():
                return OpeningChecked(task.step, task.debt.validator, await self._check_opening(task))
            case _:
                return await self._run(partial(execute, task, self._rules))

    async def contribution(self, roster: Roster) -> Contribution:
        """Return what this peer submits in the step of a roster."""
        seed = self._behaviour.batch_seed(roster, roster.batch_seed(self._me))
        return await self._trainer.contribute(seed, roster.step, self._behaviour)

    async def _examine(self, task: Examine) -> tuple[Finding, Recomputed | None]:
        record, target = task.record, task.target
        if record is None or target not in record.said.commits or target not in record.seats.submitters:
            return UNKNOWN, None
        finding, made = await self.look(record, target, task.link, task.pledges)
        if finding.accuse or finding.withheld:
            finding, made = await self.look(
                record, target, task.link, task.pledges
            )  # only what can be reproduced is worth an accusation
        return finding, made

    async def look(
        self, record: Attempt, target: PeerId, link: Link | None, pledges: Pledges
    ) -> tuple[Finding, Recomputed | None]:
        """Recompute a vector once, and compare it with all that its author has committed to, and what it published."""
        try:
            vector = await self.required(record, target, link)
        except Withheld:
            return UNSEEN, None
        if vector is None:
            return UNKNOWN, await self._sealable(record, target)
        made = await self._recomputed(vector)
        found = await self._run(partial(examine, record, target, vector))
        return worst((found, *await self._look_back(record, target, pledges, vector))), made

    async def _recomputed(self, vector: torch.Tensor) -> Recomputed:
        return Recomputed(vector, await self._run(lambda: digest(bytes_of(vector))))

    async def _sealable(self, record: Attempt, target: PeerId) -> Recomputed | None:
        """Return the vector that the target's own commitment gives, where nothing can be said about that."""
        if not self._rules.verification.momentum:
            return None
        vector = await self.required(record, target, None, continuing=False)
        return None if vector is None else await self._recomputed(vector)

    async def _check_opening(self, task: CheckOpening) -> Opinion:
        """Judge a validator by the own recomputation of what it had to recompute."""
        debt, rules = task.debt, self._rules
        try:
            vector = await self.required(debt.record, debt.target, None, continuing=False)
        except Withheld:
            return Opinion.UNSURE
        if vector is None:
            return Opinion.UNSURE
        made = await self._run(partial(sketch, debt.direction, vector))
        return opinion_on(rules.verification.opening, opening_excess(task.opening, debt.seal, made, rules))

    async def _look_back(
        self, record: Attempt, target: PeerId, pledges: Pledges, vector: torch.Tensor
    ) -> tuple[Finding, ...]:
        """Compare a recomputed vector with what its author committed to in failed attempts."""
        if not pledges.owed:
            return ()
        rules, material, seats = self._rules, self._material, record.seats
        told = await material.commits(target, seats.roster.step, seats.others, pledges.most_bytes)
        different = await self._run(partial(unlike, pledges.signed_by(target, told), vector, rules))
        if not different:
            return ()
        if rules.verification.validation is Validation.EXACT:
            return (CAUGHT,)
        shown = await material.vector(target, seats.roster.step)
        return (await self._run(partial(examine_shown, different, shown, vector, rules)),)

    async def required(
        self, record: Attempt, target: PeerId, link: Link | None, *, continuing: bool = True
    ) -> torch.Tensor | None:
        """Return the vector, float32 of shape (d,), that `target` had to send in the step of the record, or None when
        this peer does not hold that step's parameters, or does not know what the target had submitted before.

        Args:
            link: what the target was last seen to submit before that step.
            continuing: whether its momentum has to continue that; else it only has to be what it has committed to.

        Raises:
            Withheld: the target shows no momentum, or another than it has committed to, or not what it submitted last.
        """
        roster, rules, base = record.seats.roster, self._rules, None
        if rules.verification.momentum > 0:
            base = await self._shown(target, roster.step, record.said.commits[target].momentum)
            goes_on = not continuing or await self._run(partial(continues, base, link, rules.wire, rules.aggregation))
            if not goes_on:
                if link is None:
                    return None
                raise Withheld
        return await self._trainer.recompute(roster.batch_seed(target), roster.step, base)

    async def _shown(self, target: PeerId, step: int, promised: bytes) -> torch.Tensor:
        """Return the momentum that the target has committed to, shown by itself; raises Withheld."""
        data = await self._material.momentum(target, step)
        if data is None or digest(data) != promised:
            raise Withheld
        try:
            return base_from_bytes(data, self._rules.dimension)
        except Malformed as error:
            logger.info("%s shows no momentum of step %d: %s", target.short, step, error)
            raise Withheld from None
