"""The attackers of an experiment: which of them attack in a step, what they send, and which are banned for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from btard.byzantine.gradients.attack import DataAttack, GradientAttack, Knowledge
from btard.lab.training.attackers.groups import Times, chance, dealt
from btard.lab.training.choices import AfterBan, BanPolicy, Insight
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.samplers import Tensors, generator_of
from btard.tasks.base import Batch, Task

Attack = GradientAttack | DataAttack
MakeAttack = Callable[[str], Attack]
"""From an attack's text to the attack; raises UserError for an unknown one."""

Combine = Callable[[Sequence[torch.Tensor]], torch.Tensor]


def installed_attack(text: str) -> Attack:
    """Return the attack that a text names; raises UserError when none is installed under its name."""
    from btard.byzantine.gradients.registry import make_attack

    made: Attack = make_attack(text)
    return made


@dataclass
class _Gang:
    """Attackers with one attack: workers from `first` on."""

    attack: Attack
    times: Times
    workers: range
    generator: torch.Generator
    now: list[int] = field(default_factory=list)


class Crew:
    """All attackers; they are the last workers.

    Attributes:
        compute: whether attackers compute gradients of their own at all.
        banned: the step in which each banned worker was banned.
    """

    def __init__(self, settings: ExperimentSettings, make_attack: MakeAttack = installed_attack) -> None:
        """Raises UserError as `make_attack` does."""
        self._settings = settings
        self._gangs: list[_Gang] = []
        first = settings.workers - settings.attackers
        for number, (group, count) in enumerate(
            zip(settings.groups, dealt(settings.groups, settings.attackers), strict=True)
        ):
            workers = range(first, first + count)
            generator = generator_of("attackers", settings.seed, number)
            self._gangs.append(_Gang(make_attack(group.attack), group.times, workers, generator))
            first += count
        self.banned: dict[int, int] = {}
        self.compute = (
            settings.knowledge is Insight.COLLUDERS
            or (settings.bans is BanPolicy.LOTTERY and settings.banned is AfterBan.TURNS_HONEST)
            or any(isinstance(gang.attack, DataAttack) or not gang.times.always for gang in self._gangs)
        )

    @property
    def gone(self) -> set[int]:
        """Workers that were banned and have left."""
        return set(self.banned) if self._settings.banned is AfterBan.LEAVES else set()

    def decide(self, step: int) -> list[int]:
        """Decide which workers attack in a step, and return them."""
        for gang in self._gangs:
            gang.now = [
                worker
                for worker in gang.workers
                if worker not in self.banned and gang.times.attacks(step, self._settings.seed, worker)
            ]
        return [worker for gang in self._gangs for worker in gang.now]

    def spoil(self, tensors: Tensors, task: Task) -> None:
        """Exchange the batches of those that attack by samples, (workers, samples, ...), in place."""
        for gang in self._gangs:
            if isinstance(gang.attack, DataAttack):
                for worker in gang.now:
                    own = {name: tensor[worker] for name, tensor in tensors.items()}
                    batch = Batch(own, len(next(iter(own.values()))))
                    spoiled = gang.attack.spoiled(batch, task.label_flipped, gang.generator)
                    for name, tensor in tensors.items():
                        tensor[worker] = spoiled.tensors[name]

    def forge(
        self, step: int, rows: torch.Tensor, parameters: torch.Tensor, combine: Combine
    ) -> dict[int, torch.Tensor]:
        """Return what those send that attack by vectors: the same object where it is the same vector.

        Args:
            rows: (k, d), what all that compute would submit; honest workers first.
            parameters: (d,), as they are.
            combine: the rule in use.
        """
        honest = self._settings.workers - self._settings.attackers
        known = rows[:honest] if self._settings.knowledge is Insight.OMNISCIENT else rows[honest:]
        found: dict[int, torch.Tensor] = {}
        for gang in self._gangs:
            if not isinstance(gang.attack, GradientAttack):
                continue
            count = len(gang.now)

            def aggregate(vector: torch.Tensor, count: int = count) -> torch.Tensor:
                return combine([*known, *[vector] * count])

            knowledge = Knowledge(
                step=step,
                known=known,
                workers=self._settings.workers - len(self.gone),
                attackers=count,
                declared=self._settings.f,
                generator=gang.generator,
                parameters=parameters,
                aggregate=aggregate,
            )
            if not count:
                gang.attack.observe(knowledge)
                continue
            vectors = gang.attack.vectors(knowledge)
            for index, worker in enumerate(gang.now):
                found[worker] = vectors if vectors.dim() == 1 else vectors[index]
        return found

    def draw_bans(self, step: int) -> list[int]:
        """Let the published lottery ban some of those that attack now, and return them."""
        settings = self._settings
        if settings.bans is not BanPolicy.LOTTERY:
            return []
        n, b = settings.workers, settings.attackers
        likely = (n - b) / n / n if settings.ban_probability is None else settings.ban_probability
        attacking = [worker for gang in self._gangs for worker in gang.now]
        caught = [worker for worker in attacking if chance("ban", settings.seed, step, worker) < likely]
        self.banned |= dict.fromkeys(caught, step)
        return caught

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to know: bans, generators, and what attacks remember."""
        return {
            "banned": dict(self.banned),
            "generators": [gang.generator.get_state() for gang in self._gangs],
            "attacks": [
                dict(gang.attack.state()) if isinstance(gang.attack, GradientAttack) else {} for gang in self._gangs
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` has returned."""
        self.banned = dict(state["banned"])
        for gang, generator, remembered in zip(self._gangs, state["generators"], state["attacks"], strict=True):
            gang.generator.set_state(generator)
            if isinstance(gang.attack, GradientAttack):
                gang.attack.restore(remembered)
