"""Doubles its gradient, and changes the first number of the aggregate that it publishes."""

from __future__ import annotations

import torch

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.vectors.partition import from_wire, to_wire


class Lopsided(Attacker):
    """Honest until the schedule says otherwise."""

    name = "LOPSIDED"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return 2.0 * gradient if self.attacks(step) else gradient

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        if not self.attacks(step):
            return payload
        numbers = from_wire(bytearray(payload), view.wire)
        numbers[:1] += 1.0
        return to_wire(numbers, view.wire)
