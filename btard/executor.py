"""Carries out what a session asks for and answers it: one way for daemons and simulated peers.

The two differ in what they supply: the trainer, how a peer asks another to show something, and where heavy work runs.
Simulated peers supply what never waits, and run all of this in one go.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from time import monotonic

import torch

from btard.behaviour import Behaviour
from btard.exhibits import Exhibit, Fits, GoBetween, Material, Relaying, Run
from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.round.actions import CheckOpening, ComputeGradient, Examine, Recall, Task
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pledges import Pledges
from btard.round.messages.accusations import Opinion
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.work.answers import Answer, GradientComputed, OpeningChecked, Recalled, TargetExamined
from btard.round.work.examination import (
    CAUGHT,
    UNKNOWN,
    UNSEEN,
    Finding,
    Recomputed,
    continues,
    examine,
    examine_shown,
    is_pledged,
    opinion_on,
    unlike,
    worst,
)
from btard.round.work.execute import execute
from btard.round.work.seals import opening_excess, sketch
from btard.tensors import bytes_of
from btard.trainer import Contribution, Trainer
from btard.vectors.momentum import base_from_bytes
from btard.vocabulary import Validation

logger = logging.getLogger(__name__)

_HOLDERS = 0.25
"""Of the time that is left: so long may those take that hold a target's commitments."""


class TimeLeft:
    """For how many seconds answers may be waited for, all of them together."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._until = monotonic() + seconds

    @property
    def seconds(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self._until - monotonic())


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
        self._exhibits: dict[tuple[Exhibit, PeerId, int], bytes] = {}
        self._pledged: dict[PeerId, Pledges] = {}
        self.go_between = GoBetween(rules, material, run)

    async def carry_out(self, task: Task) -> Answer:
        """Do what is asked for, and return the answer; raises what the trainer and the work raise."""
        match task:
            case ComputeGradient(roster):
                made = await self.contribution(roster)
                return GradientComputed(roster.step, made.vector, made.momentum)
            case Examine():
                found, again = await self._examine(task)
                pledges = self._pledged.pop(task.target, task.pledges)
                return TargetExamined(task.step, task.target, found, again, pledges)
            case Recall(known, accuser):
                return Recalled(task.step, accuser, known.target, await self.go_between.recall(task))
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
        step = record.seats.roster.step
        self._exhibits = {place: data for place, data in self._exhibits.items() if place[2] == step}
        time_left = TimeLeft(task.within_seconds)
        finding, made = await self.look(record, task, time_left)
        if finding.accuse or finding.withheld:
            finding, made = await self.look(
                record, task, time_left
            )  # only what can be reproduced is worth an accusation
        if task.judges and not await self._is_known_to_most(record, finding, task.judges):
            finding = UNKNOWN
        if not (finding.accuse or finding.withheld):
            for what in Exhibit:
                self._exhibits.pop((what, target, step), None)
        return finding, made

    async def _is_known_to_most(self, record: Attempt, finding: Finding, judges: Sequence[PeerId]) -> bool:
        """Whether a finding about an incarnation that is over may be an accusation: most voters can look at the very
        same. That something is not shown is none: its owner may have lost it with its disk."""
        if not finding.accuse:
            return not finding.withheld
        ours = record.said.transcript()
        others = [peer for peer in judges if peer != self._me]
        told = await self._material.transcripts(record.seats.roster.step, others, self._rules.delay_bound_seconds)
        return 2 * (1 + sum(theirs == ours for theirs in told)) > len(judges)

    def exhibit_of(self, what: Exhibit, target: PeerId, step: int) -> bytes | None:
        """Return what a target has shown this peer of the step before, which accuses it: judges may not be shown it by
        the target itself. None for anything else."""
        return self._exhibits.get((what, target, step))

    async def shows(self, relaying: Relaying, asker: PeerId, what: Exhibit, target: PeerId, step: int) -> bytes | None:
        """Return what this peer can show another of what a third has to show: what that one has shown it, or shows it
        now, if the asker is its validator and may have it asked. None for nothing.

        Args:
            relaying: knows who may.
        """
        shown = self.exhibit_of(what, target, step)
        if shown is None and relaying.begin(asker, target, step):
            try:
                shown = await self.go_between.ask(asker, what, target, step)
            finally:
                relaying.end(asker, target)
        return self._behaviour.passed_on(step, asker, target, shown)

    async def _shown(
        self, what: Exhibit, record: Attempt, task: Examine, fits: Fits, time_left: TimeLeft
    ) -> bytes | None:
        place = (what, task.target, record.seats.roster.step)
        if place not in self._exhibits:
            shown = await self._material.exhibit(*place, fits, task.accusers, time_left.seconds)
            if shown is None:
                return None
            self._exhibits[place] = shown
        return self._exhibits[place]

    async def look(self, record: Attempt, task: Examine, time_left: TimeLeft) -> tuple[Finding, Recomputed | None]:
        """Recompute a vector once, and compare it with all that its author has committed to, and what it published."""
        try:
            vector = await self.required(record, task, time_left)
        except Withheld:
            return UNSEEN, None
        if vector is None:
            return UNKNOWN, await self._sealable(record, task, time_left)
        made = await self._recomputed(vector)
        found = await self._run(partial(examine, record, task.target, vector))
        return worst((found, *await self._look_back(record, task, vector, time_left))), made

    async def _recomputed(self, vector: torch.Tensor) -> Recomputed:
        return Recomputed(vector, await self._run(lambda: digest(bytes_of(vector))))

    async def _sealable(self, record: Attempt, task: Examine, time_left: TimeLeft) -> Recomputed | None:
        """Return the vector that the target's own commitment gives, where nothing can be said about that."""
        if not self._rules.verification.momentum:
            return None
        vector = await self.required(record, task, time_left, continuing=False)
        return None if vector is None else await self._recomputed(vector)

    async def _check_opening(self, task: CheckOpening) -> Opinion:
        """Judge a validator by the own recomputation of what it had to recompute."""
        debt, rules = task.debt, self._rules
        asked = Examine(task.step, debt.target, debt.record, None)
        try:
            vector = await self.required(debt.record, asked, TimeLeft(), continuing=False)
        except Withheld:
            return Opinion.UNSURE
        if vector is None:
            return Opinion.UNSURE
        made = await self._run(partial(sketch, debt.direction, vector))
        return opinion_on(rules.verification.opening, opening_excess(task.opening, debt.seal, made, rules))

    async def _look_back(
        self, record: Attempt, task: Examine, vector: torch.Tensor, time_left: TimeLeft
    ) -> tuple[Finding, ...]:
        """Compare a recomputed vector with what its author committed to in failed attempts."""
        target, pledges = task.target, task.pledges
        if not pledges.owed:
            return ()
        rules, material, seats = self._rules, self._material, record.seats
        # A holder that is silent must not use up what the target has to show its vector.
        most, within = pledges.most_bytes, _HOLDERS * time_left.seconds
        told = await material.commits(target, seats.roster.step, seats.others, most, within)
        self._pledged[target] = pledges = pledges.heard(target, told)
        signed = pledges.vectors
        if not await self._run(partial(unlike, signed, vector, rules)):
            return ()
        if rules.verification.validation is Validation.EXACT or pledges.contradictory:
            return (CAUGHT,)

        async def fits(data: bytes) -> bool:
            return await self._run(partial(is_pledged, signed, data, rules))

        shown = await self._shown(Exhibit.VECTOR, record, task, fits, time_left)
        return (await self._run(partial(examine_shown, signed, shown, vector, rules)),)

    async def required(
        self, record: Attempt, task: Examine, time_left: TimeLeft, *, continuing: bool = True
    ) -> torch.Tensor | None:
        """Return the vector, float32 of shape (d,), that the target had to send in the step of the record, or None when
        this peer does not hold that step's parameters, or does not know what the target had submitted before.

        Args:
            continuing: whether its momentum has to continue that; else it only has to be what it has committed to.

        Raises:
            Withheld: the target shows no momentum, or another than it has committed to, or not what it submitted last.
        """
        roster, rules, target, base = record.seats.roster, self._rules, task.target, None
        if rules.verification.momentum > 0:
            base = await self._base(record, task, time_left)
            link, wire, aggregation = task.link, rules.wire, rules.aggregation
            if continuing and not await self._run(partial(continues, base, link, wire, aggregation)):
                if link is None:
                    return None
                raise Withheld
        return await self._trainer.recompute(roster.batch_seed(target), roster.step, base)

    async def _base(self, record: Attempt, task: Examine, time_left: TimeLeft) -> torch.Tensor:
        """Return the momentum that the target has committed to; raises Withheld."""
        promised = record.said.commits[task.target].momentum

        async def fits(data: bytes) -> bool:
            return await self._run(partial(digest, data)) == promised

        data = await self._shown(Exhibit.BASE, record, task, fits, time_left)
        if data is None:
            raise Withheld
        try:
            return base_from_bytes(data, self._rules.dimension)
        except Malformed as error:
            logger.info("%s shows no momentum of step %d: %s", task.target.short, record.seats.roster.step, error)
            raise Withheld from None
