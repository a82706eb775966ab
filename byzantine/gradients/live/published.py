"""Published attacks in a swarm, run by colluders on what they know: one behaviour for all of them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.crafted.along_line import AlongLine
from btard.byzantine.gradients.registry import make_gradient_attack
from btard.byzantine.settings import BehaviourSettings
from btard.configuration.named import Named
from btard.errors import UserError

_PUBLISHED: dict[str, Callable[[BehaviourSettings], str]] = {
    "ALIE": lambda settings: "alie",
    "BULYAN": lambda settings: "bulyan:factor=1",
    "EMPIRE": lambda settings: "empire:factor=1.1",
    "FANG_KRUM": lambda settings: "fang:against=krum",
    "FANG_TRIMMED_MEAN": lambda settings: "fang:against=trimmed_mean",
    "INNER_PRODUCT": lambda settings: f"ipm:factor={settings.epsilon!r}",
    "LITTLE": lambda settings: "little:factor=1.5,negative=true",
    "MIMIC": lambda settings: "mimic",
    "MIN_MAX": lambda settings: "min_max",
    "MIN_SUM": lambda settings: "min_sum",
    "ROP": lambda settings: f"rop:angle={settings.rop_angle!r},length={settings.rop_length!r}",
}
"""The attack of each ATTACK_TYPE, with the parameters that it has where ATTACK_PARAMETERS names no others."""


class Published(Conspirator):
    """Sends what an attack makes of the colluders' true gradients, which stand for those of all honest peers.

    Attributes:
        attack: the same class that the laboratory runs.
    """

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        """Make the attack that ATTACK_TYPE and ATTACK_PARAMETERS say.

        Raises:
            UserError: the parameters are not that attack's, or ask for a search against the rule.
        """
        super().__init__(settings, seed)
        self.name = settings.attack_type
        self.attack = _made(settings)
        self._remembers = type(self.attack).observe is not GradientAttack.observe

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Run the attack; one with a memory also learns while it rests."""
        attacks = self.attacks(step)
        if not attacks and not self._remembers:
            return gradient
        knowledge = self._knowledge(step, gradient)
        if not attacks:
            self.attack.observe(knowledge)
            return gradient
        sent = self.attack.vectors(knowledge)
        if sent.dim() == 1:
            return sent
        return sent[sorted(self.colluders | {self.me}).index(self.me)]

    def _knowledge(self, step: int, gradient: torch.Tensor) -> Knowledge:
        attackers = len(self.colluders | {self.me})
        return Knowledge(
            step=step,
            known=torch.stack(self.known_gradients(step, gradient)),
            workers=len(self.roster.members) if self.roster is not None else attackers,
            attackers=attackers,
            declared=attackers,
            generator=self.generator(step),
        )


def _made(settings: BehaviourSettings) -> GradientAttack:
    chosen = Named.parse(_PUBLISHED[settings.attack_type](settings), "the attack")
    given = settings.attack_parameters
    if given:
        own = Named.parse(f"{chosen.name}:{given}", f"the attack with ATTACK_PARAMETERS={given}")
        chosen = Named(chosen.name, {**chosen.values, **own.values})
    attack = make_gradient_attack(str(chosen))
    if isinstance(attack, AlongLine) and attack.factor < 0:
        raise UserError(
            f"ATTACK_PARAMETERS is {given!r}, but a factor below 0 is searched against the aggregation rule, which "
            "attackers in a swarm cannot try out; give a factor from 0 on"
        )
    return attack
