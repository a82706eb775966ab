"""Publishes an aggregate of NaN."""

from __future__ import annotations

import torch

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.vectors.partition import from_wire, to_wire


class NanAggregate(Attacker):
    """Applied, it would end the training of everybody."""

    name = "NAN_AGGREGATE"

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        if not self.attacks(step):
            return payload
        return to_wire(torch.full_like(from_wire(payload, view.wire), float("nan")), view.wire)
