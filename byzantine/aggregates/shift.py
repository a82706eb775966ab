"""Moving an aggregate by a length that is measured in clipping radii."""

from __future__ import annotations

import math

import torch

from btard.behaviour import View
from btard.hashing import Payload
from btard.vectors.partition import from_wire, to_wire


def shifted(payload: Payload, view: View, radii: float, generator: torch.Generator) -> Payload:
    """Return the aggregate moved by `radii` tau along a random direction; without a radius, by `radii` of its norm."""
    vector = from_wire(bytearray(payload), view.wire)
    if len(vector) == 0:
        return payload
    direction = torch.randn(vector.shape, generator=generator)
    unit = view.tau if math.isfinite(view.tau) else float(vector.norm()) or 1.0
    return to_wire(vector + radii * unit * direction / direction.norm(), view.wire)
