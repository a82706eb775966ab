"""Publishes an aggregate that is not the fixed point of its rows, and tells the truth about everything else."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.aggregates.shift import shifted
from btard.byzantine.attacker import Attacker
from btard.hashing import Payload


class WrongAggregate(Attacker):
    """Off by `radii` clipping radii."""

    name = "WRONG_AGGREGATE"
    radii = 3.0

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        return shifted(payload, view, self.radii, self.generator(step)) if self.attacks(step) else payload
