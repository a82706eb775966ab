"""Attackers of an experiment inside the real protocol: behaviours that send what the same attacks make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from btard.behaviour import Behaviour
from btard.byzantine.gradients.attack import DataAttack, GradientAttack, Knowledge
from btard.hashing import tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.lab.training.attackers.crew import Attack, MakeAttack
from btard.lab.training.attackers.groups import Times, dealt
from btard.lab.training.choices import Insight
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.samplers import generator_of
from btard.round.roster import Roster

B = TypeVar("B")
Combine = Callable[[list[torch.Tensor]], torch.Tensor]


class Overheard(Behaviour):
    """An honest peer whose vectors attackers know."""

    def __init__(self, colluders: Colluders, number: int) -> None:
        self.colluders, self.number = colluders, number

    def attach(self, key: IdentityKey) -> None:
        self.colluders.peers[key.peer_id] = self.number

    def foretell(self, step: int, vector: torch.Tensor) -> None:
        self.colluders.tell(step, self.number, vector)


class LabLiar(Overheard):
    """A peer that sends what its gang's attack makes of what they know."""

    def __init__(self, colluders: Colluders, number: int, gang: Gang) -> None:
        super().__init__(colluders, number)
        self.gang = gang
        self.roster: Roster | None = None

    def attacks(self, step: int) -> bool:
        return self.gang.times.attacks(step, self.colluders.settings.seed, self.number)

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        self.roster = roster
        return seed

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        spoils = isinstance(self.gang.attack, DataAttack) and self.attacks(step)
        return label_flipped(batch) if spoils else batch

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if self.roster is None or not self.attacks(step):
            return gradient
        return self.colluders.lies(self.gang, step, self.roster).get(self.number, gradient)


class Gang:
    """Peers with one attack, and what they send in the newest step."""

    def __init__(self, attack: Attack, times: Times, members: range, generator: torch.Generator) -> None:
        self.attack, self.times, self.members, self.generator = attack, times, members, generator
        self.step = -1
        self.vectors: dict[int, torch.Tensor] = {}


class Colluders:
    """What attackers know together.

    Attributes:
        peers: numbers of all peers, honest ones first.
    """

    def __init__(self, settings: ExperimentSettings, make_attack: MakeAttack, combine: Combine) -> None:
        """Args: `combine` is the rule in use. Raises UserError as `make_attack` does."""
        self.settings = settings
        self.peers: dict[PeerId, int] = {}
        self.gangs: list[Gang] = []
        self._combine = combine
        self._told: dict[int, dict[int, torch.Tensor]] = {}
        first = settings.workers - settings.attackers
        for number, (group, count) in enumerate(
            zip(settings.groups, dealt(settings.groups, settings.attackers), strict=True)
        ):
            generator = generator_of("attackers", settings.seed, number)
            self.gangs.append(Gang(make_attack(group.attack), group.times, range(first, first + count), generator))
            first += count

    @property
    def spoils(self) -> DataAttack | None:
        """The attack on samples, if there is one."""
        return next((gang.attack for gang in self.gangs if isinstance(gang.attack, DataAttack)), None)

    def member(self, number: int) -> Behaviour:
        """Return the behaviour of a peer."""
        gang = next((gang for gang in self.gangs if number in gang.members), None)
        return Overheard(self, number) if gang is None else LabLiar(self, number, gang)

    def tell(self, step: int, number: int, vector: torch.Tensor) -> None:
        """Let all know a true vector of a step; those of earlier steps are forgotten."""
        self._told = {known: rows for known, rows in self._told.items() if known >= step}
        self._told.setdefault(step, {})[number] = vector

    def submitters(self, roster: Roster) -> set[int]:
        """Return the numbers of the members that submit a vector in the step of a roster."""
        return {self.peers[member] for member in roster.members if member not in roster.validators}

    def attacking(self, gang: Gang, step: int, submit: set[int]) -> list[int]:
        """Return which of those that submit in a step are of a gang, and attack."""
        return [n for n in gang.members if n in submit and gang.times.attacks(step, self.settings.seed, n)]

    def lies(self, gang: Gang, step: int, roster: Roster) -> dict[int, torch.Tensor]:
        """Return what the members of a gang send that attack in a step; made once a step."""
        if gang.step == step or not isinstance(gang.attack, GradientAttack):
            return gang.vectors
        submit = self.submitters(roster)
        now = self.attacking(gang, step, submit)
        omniscient = self.settings.knowledge is Insight.OMNISCIENT
        honest = self.settings.workers - self.settings.attackers
        told = {number: row for number, row in sorted(self._told[step].items()) if number in submit}
        known = [row for number, row in told.items() if (number < honest) is omniscient]
        knowledge = Knowledge(
            step=step,
            known=torch.stack(known),
            workers=len(roster.members),
            attackers=len(now),
            declared=self.settings.f,
            generator=gang.generator,
            aggregate=lambda vector: self._combine([*known, *[vector] * len(now)]),
        )
        vectors = gang.attack.vectors(knowledge)
        gang.step = step
        gang.vectors = {
            number: (vectors if vectors.dim() == 1 else vectors[index]).clone() for index, number in enumerate(now)
        }
        return gang.vectors

    def knowledge(self) -> dict[int, dict[int, torch.Tensor]]:
        """Return the true vectors of the last steps, by step and peer."""
        return self._told

    def restore_knowledge(self, told: Mapping[int, Mapping[int, torch.Tensor]]) -> None:
        """Take over what `knowledge` has returned."""
        self._told = {step: dict(rows) for step, rows in told.items()}

    def state(self) -> list[dict[str, Any]]:
        """Return what gangs remember and have made; it shares memory with them."""
        return [
            {
                "generator": gang.generator.get_state(),
                "attack": dict(gang.attack.state()) if isinstance(gang.attack, GradientAttack) else {},
                "step": gang.step,
                "vectors": dict(gang.vectors),
            }
            for gang in self.gangs
        ]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Take over what `state` has returned."""
        for gang, kept in zip(self.gangs, state, strict=True):
            gang.generator.set_state(kept["generator"])
            if isinstance(gang.attack, GradientAttack):
                gang.attack.restore(kept["attack"])
            gang.step, gang.vectors = kept["step"], dict(kept["vectors"])


def spoiling_draws(seed: bytes) -> torch.Generator:
    """Return the generator by which the samples of a public seed are spoiled: the same for all that repeat it."""
    drawn = tagged_digest("btard experiment spoiled", seed)
    return torch.Generator().manual_seed(int.from_bytes(drawn[:8], "big") >> 1)
