"""Publishes a wrong aggregate and hides it by a false product of its own row, which nobody else holds."""

from __future__ import annotations

import dataclasses
import math

from btard.behaviour import View
from btard.byzantine.aggregates.wrong_aggregate import WrongAggregate
from btard.round.messages.bodies import Scalars


class SelfCover(WrongAggregate):
    """Verification 2 passes: the published products of its part add up to zero."""

    name = "SELF_COVER"
    radii = 0.2

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        """Choose the own product so that the products of its part add up to zero."""
        part = view.my_part
        if not self.attacks(step) or part is None:
            return scalars
        rest = math.fsum(product for peer, (product, _) in view.column.items() if peer != self.me)
        products = (*scalars.products[:part], -rest, *scalars.products[part + 1 :])
        return dataclasses.replace(scalars, products=products)
