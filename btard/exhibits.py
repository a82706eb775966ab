"""What a peer has to show to the one that examines it, and what others get from it on that one's behalf.

Only a target holds what its vector was built on, or what it sent in a failed attempt. If it shows that to its validator
or not, nobody else can see. So a validator that is shown nothing asks all voters to ask its target, and they pass on
what they get: an honest target shows it to all that ask, and one that has shown it to a single honest voter has shown
it to an honest validator. Whatever is then said, most voters have seen who of the two is right.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.round.actions import Examine, Recall
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Opinion
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.work.examination import continues, is_pledged
from btard.vectors.momentum import base_from_bytes

T = TypeVar("T")


class Exhibit(StrEnum):
    """What a target shows of a step, 4 d float32 bytes each."""

    BASE = "base"
    """What its vector was built on, where the run has momentum."""
    VECTOR = "vector"
    """What it sent in all attempts."""


Fits = Callable[[bytes], Awaitable[bool]]
"""Whether bytes are what the target has committed to."""


class Material(Protocol):
    """What peers, this one included, show of a step to a peer that examines somebody's vector of it."""

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        """Return the first bytes that fit, shown by the target or by accusers, which it has shown them to or which ask
        it on behalf of its validator; None if nobody shows such in time."""

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        """Return what the holders show in time of the target's commitments in failed attempts (`Pledges.encode`)."""

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        """Return what the holders, other peers, say in time that all have signed in the step before: 32 bytes each
        (`Said.transcript`), nothing of one that cannot look back at it."""


class Run(Protocol):
    """Where heavy work is done: `await run(function)` returns what the function does."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class GoBetween:
    """What validators have let this peer ask their targets for, and what it was shown: it passes that on, whatever it
    is, and judges by it."""

    def __init__(self, rules: StepRules, material: Material, run: Run) -> None:
        """Begin with nothing asked for."""
        self._rules = rules
        self._material = material
        self._run = run
        self._step = -1
        self._begun: set[tuple[PeerId, Exhibit, PeerId]] = set()
        self._shown: dict[tuple[PeerId, Exhibit, PeerId], bytes | None] = {}

    async def ask(self, asker: PeerId, what: Exhibit, target: PeerId, step: int) -> bytes | None:
        """Ask a target on behalf of its validator, once, and return what it shows; None for nothing."""
        if step != self._step:
            self._step = step
            self._begun.clear()
            self._shown.clear()
        place = (asker, what, target)
        if place not in self._begun:
            self._begun.add(place)
            within = self._rules.showing_seconds
            shown = await self._material.exhibit(what, target, step, _anything, (), within)
            if step == self._step:
                self._shown[place] = shown
        return self._shown.get(place) if step == self._step else None

    async def recall(self, task: Recall) -> Opinion:
        """Say whether a target withholds what its validator says that it does: it has shown this peer nothing that is
        what it has committed to, although the validator has had it asked; or what it shows is no momentum that
        continues what it had submitted.

        What this peer was not asked for is not withheld: an honest validator asks everybody. Nothing is recomputed, so
        machines that differ judge alike.
        """
        known, record = task.examine, task.examine.record
        if record is None or known.target not in record.said.commits:
            return Opinion.UNSURE
        asked = {
            what: shown
            for (asker, what, target), shown in self._shown.items()
            if (asker, target, self._step) == (task.accuser, known.target, record.seats.roster.step)
        }
        if Exhibit.VECTOR in asked and not await self._explains(known, record, asked[Exhibit.VECTOR]):
            return Opinion.GUILTY
        if self._rules.verification.momentum > 0:
            return await self._judge_base(task, record, asked)
        return Opinion.INNOCENT

    async def _explains(self, known: Examine, record: Attempt, shown: bytes | None) -> bool:
        """Whether what was shown is the vector of all commitments in failed attempts."""
        if shown is None:
            return False
        seats, pledges, target = record.seats, known.pledges, known.target
        told = await self._material.commits(target, seats.roster.step, seats.others, pledges.most_bytes, math.inf)
        return await self._run(partial(is_pledged, pledges.heard(target, told).vectors, shown, self._rules))

    async def _judge_base(self, task: Recall, record: Attempt, asked: dict[Exhibit, bytes | None]) -> Opinion:
        rules, known = self._rules, task.examine
        promised = record.said.commits[known.target].momentum

        async def fits(data: bytes) -> bool:
            return await self._run(partial(digest, data)) == promised

        if Exhibit.BASE in asked:
            data = asked[Exhibit.BASE]
            if data is None or not await fits(data):
                return Opinion.GUILTY
        else:
            step = record.seats.roster.step
            data = await self._material.exhibit(
                Exhibit.BASE, known.target, step, fits, (task.accuser,), rules.showing_seconds
            )
            if data is None:
                return Opinion.INNOCENT
        try:
            base = base_from_bytes(data, rules.dimension)
        except Malformed:
            return Opinion.GUILTY
        if await self._run(partial(continues, base, known.link, rules.wire, rules.aggregation)):
            return Opinion.INNOCENT
        return Opinion.UNSURE if known.link is None else Opinion.GUILTY


@dataclass(frozen=True)
class Relaying:
    """A session as it looks to one that asks on behalf of others; `now` is the driver's clock."""

    session: Session
    now: Callable[[], float]

    def begin(self, asker: PeerId, target: PeerId, step: int) -> bool:
        """Whether to ask a target about a step on behalf of a peer. The time that it takes from now on is not held
        against its validator."""
        machine, previous = self.session.machine, self.session.previous
        if machine is None or machine.over or previous is None or previous.seats.roster.step != step:
            return False
        if machine.attempt.seats.validators.get(asker) != target:
            return False
        machine.exchange.account.note_relaying(asker, target, self.now())
        return True

    def end(self, asker: PeerId, target: PeerId) -> None:
        """The target has answered, or has had its time."""
        if self.session.machine is not None:
            self.session.machine.exchange.account.note_relayed(asker, target, self.now())


async def _anything(data: bytes) -> bool:
    return True
