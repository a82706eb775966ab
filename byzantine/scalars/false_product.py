"""Publishes a false product of one of its rows, whose owner is honest."""

from __future__ import annotations

import dataclasses
import math

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.bodies import Scalars


class FalseProduct(Attacker):
    """Off by half of what can be expected, which no bound forbids."""

    name = "FALSE_PRODUCT"

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        """Publish a product about one owner's part that is off by half of what can be expected."""
        if not self.attacks(step):
            return scalars
        part = view.owners.index(self.victim(step, view.owners))
        true, norm = scalars.products[part], scalars.norms[part]
        false = true - math.copysign(0.5 * min(view.tau, norm), true)
        return dataclasses.replace(scalars, products=(*scalars.products[:part], false, *scalars.products[part + 1 :]))
