"""The attacks by name, made from what a user writes: `name`, or `name:key=value,key=value`."""

from __future__ import annotations

from typing import Any

from btard.byzantine.gradients.attack import DataAttack, GradientAttack
from btard.byzantine.gradients.blunt.delayed import Delayed
from btard.byzantine.gradients.blunt.gaussian_noise import GaussianNoise
from btard.byzantine.gradients.blunt.labels import FlippedLabels, RandomLabels, ShuffledLabels
from btard.byzantine.gradients.blunt.not_a_number import NotANumber
from btard.byzantine.gradients.blunt.shared_direction import SharedDirection
from btard.byzantine.gradients.blunt.sign_flip import SignFlip
from btard.byzantine.gradients.crafted.anti_cge import AntiCge
from btard.byzantine.gradients.crafted.bulyan import ShiftedCoordinate
from btard.byzantine.gradients.crafted.empire import Empire, EmpireStrict, InnerProductManipulation
from btard.byzantine.gradients.crafted.fang import Fang
from btard.byzantine.gradients.crafted.little import Little, MostLittle
from btard.byzantine.gradients.crafted.mimic import Mimic
from btard.byzantine.gradients.crafted.min_max import MinMax, MinSum
from btard.byzantine.gradients.crafted.rop import RelocatedPerturbation
from btard.byzantine.gradients.crafted.sleeper import Sleeper
from btard.configuration.named import Named, constructed
from btard.errors import UserError

Attack = GradientAttack | DataAttack

_ATTACKS: dict[str, type[Any]] = {
    "alie": MostLittle,
    "anticge": AntiCge,
    "bulyan": ShiftedCoordinate,
    "constant_direction": SharedDirection,
    "delayed": Delayed,
    "empire": Empire,
    "empire_strict": EmpireStrict,
    "fang": Fang,
    "ipm": InnerProductManipulation,
    "label_flip": FlippedLabels,
    "label_shuffle": ShuffledLabels,
    "little": Little,
    "mimic": Mimic,
    "min_max": MinMax,
    "min_sum": MinSum,
    "nan": NotANumber,
    "noise": GaussianNoise,
    "random_label": RandomLabels,
    "rop": RelocatedPerturbation,
    "sign_flip": SignFlip,
    "sleeper": Sleeper,
}


def attack_names() -> tuple[str, ...]:
    """Return the names of all attacks in alphabetical order."""
    return tuple(sorted(_ATTACKS))


def make_attack(text: str) -> Attack:
    """Return a new attack, which remembers nothing yet, with its parameters.

    Raises:
        UserError: no such attack or parameter, or a value that it cannot have; the sentence lists what there is.
    """
    chosen = Named.parse(text, "the attack")
    made = _ATTACKS.get(chosen.underscored)
    if made is None:
        raise UserError(f"the attack is {text!r}, but must be one of these: {', '.join(attack_names())}")
    who = f"the attack {chosen.name}"
    attack: Attack = constructed(made, chosen, lacks=who, refused=f"{who} cannot be {text!r}: ")
    return attack


def make_gradient_attack(text: str) -> GradientAttack:
    """Return a new attack on vectors; raises UserError as `make_attack`, and where it is one on samples."""
    attack = make_attack(text)
    if isinstance(attack, DataAttack):
        raise UserError(f"the attack is {text!r}, which spoils samples, but must be one on vectors")
    return attack
