"""Doubts every aggregate, so that all parts have to be collected again."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.bodies import Scalars


class FalseDoubts(Attacker):
    """Doubts count when most have them; those of a minority cost nothing."""

    name = "FALSE_DOUBTS"

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        return dataclasses.replace(scalars, doubts=tuple(range(len(view.owners)))) if self.attacks(step) else scalars
