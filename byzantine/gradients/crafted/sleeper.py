"""Honest for as long as it takes to be trusted, then another attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge


@dataclass
class Sleeper(GradientAttack):
    """Each attacker sends what an honest worker has submitted until step `until`, and then the vectors of `attack`.

    So it is for rules and protocols that trust workers by their past: in the meantime nothing tells it from an honest
    worker but that two submit the same. The attackers follow different workers, drawn anew in each step. The other
    attack learns all the while.

    Attributes:
        until: first step of the attack.
        attack: as a text of its own, with `;` between its parameters: `sleeper:until=50,attack=little:factor=3;...`.
    """

    until: Annotated[int, Field(ge=0)] = 100
    attack: str = "sign_flip"

    def __post_init__(self) -> None:
        # The registry knows this class.
        from btard.byzantine.gradients.registry import make_gradient_attack

        self._attack = make_gradient_attack(self.attack.replace(";", ","))

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        """Return (attackers, d) while it sleeps, then what the other attack returns."""
        if knowledge.step >= self.until:
            return self._attack.vectors(knowledge)
        self._attack.observe(knowledge)
        order = torch.randperm(len(knowledge.known), generator=knowledge.generator)
        followed = order[torch.arange(knowledge.attackers) % len(order)]
        return knowledge.known[followed.to(knowledge.known.device)]

    def observe(self, knowledge: Knowledge) -> None:
        self._attack.observe(knowledge)

    def state(self) -> Mapping[str, torch.Tensor]:
        return self._attack.state()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self._attack.restore(state)
