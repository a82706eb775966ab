"""How a replica examines another one: by its record, in place of a public seed."""

from __future__ import annotations

from functools import partial

import torch

from btard.behaviour import Behaviour
from btard.executor import Executor, TimeLeft, Withheld
from btard.exhibits import Exhibit, GoBetween, Material, Run
from btard.identity import PeerId
from btard.pipeline.replicas.trainer import StageTrainer
from btard.round.actions import Examine, Recall
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Opinion
from btard.round.rules import StepRules
from btard.round.work.examination import CAUGHT, Finding, Recomputed, worst
from btard.trainer import Trainer


class ReplicaExecutor(Executor):
    """Does the work of one replica of a stage."""

    def __init__(
        self, rules: StepRules, me: PeerId, behaviour: Behaviour, trainer: Trainer, material: Material, run: Run
    ) -> None:
        super().__init__(rules, me, behaviour, trainer, material, run)
        assert isinstance(trainer, StageTrainer)
        self._stage = trainer
        self._false_neighbours: set[tuple[PeerId, int]] = set()
        self.go_between = RecordGoBetween(rules, material, run, trainer)

    async def required(
        self, record: Attempt, task: Examine, time_left: TimeLeft, *, continuing: bool = True
    ) -> torch.Tensor | None:
        """Return the gradient that follows from the target's record; see `Executor`.

        Raises:
            Withheld: the target shows no record of the step.
        """
        place = (task.target, record.seats.roster.step)

        async def fits(data: bytes) -> bool:
            return await self._run(partial(self._stage.is_record, *place, data))

        data = await self._shown(Exhibit.BASE, record, task, fits, time_left)
        if data is None:
            raise Withheld
        found = await self._run(partial(self._stage.computed_again, *place, data))
        if found is None:
            return None
        if not found.said_so:
            self._false_neighbours = {known for known in self._false_neighbours if known[1] >= place[1] - 1} | {place}
        return found.gradient

    async def look(self, record: Attempt, task: Examine, time_left: TimeLeft) -> tuple[Finding, Recomputed | None]:
        """Examine a target, which is caught as well by what it has sent its neighbours; see `Executor`."""
        found, made = await super().look(record, task, time_left)
        if (task.target, record.seats.roster.step) in self._false_neighbours:
            found = worst((found, CAUGHT))
        return found, made


class RecordGoBetween(GoBetween):
    """Asks targets for records on behalf of their validators."""

    def __init__(self, rules: StepRules, material: Material, run: Run, trainer: StageTrainer) -> None:
        super().__init__(rules, material, run)
        self._stage = trainer

    async def recall(self, task: Recall) -> Opinion:
        """Say whether a target withholds its record, or what else it has to show; see `GoBetween`."""
        opinion, target, record = await super().recall(task), task.examine.target, task.examine.record
        if opinion is not Opinion.INNOCENT or record is None:
            return opinion
        step = record.seats.roster.step
        place = (task.accuser, Exhibit.BASE, target)
        if place not in self._shown or step != self._step:
            return opinion
        shown = self._shown[place]
        kept = shown is not None and await self._run(partial(self._stage.is_record, target, step, shown))
        return opinion if kept else Opinion.GUILTY
