"""Publishes a false norm of one of its rows, whose owner is honest."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.bodies import Scalars


class FalseNorm(Attacker):
    """Too long by half, as if to raise a doubt about the aggregate."""

    name = "FALSE_NORM"

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if not self.attacks(step):
            return scalars
        part = view.owners.index(self.victim(step, view.owners))
        false = 1.5 * scalars.norms[part]
        return dataclasses.replace(scalars, norms=(*scalars.norms[:part], false, *scalars.norms[part + 1 :]))
