"""Publishes products that cannot be: NaN, infinite, or longer than the row that they belong to."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.bodies import Scalars


class BeyondBound(Attacker):
    """The three in turn, over the parts."""

    name = "BEYOND_BOUND"

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if not self.attacks(step):
            return scalars
        impossible = (float("nan"), float("inf"), 1e30)
        products = tuple(impossible[part % len(impossible)] for part in range(len(scalars.products)))
        return dataclasses.replace(scalars, products=products)
