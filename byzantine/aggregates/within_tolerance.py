"""Publishes an aggregate that is wrong by less than rounding may make it: what no check can see, and all it can do."""

from __future__ import annotations

from btard.byzantine.aggregates.wrong_aggregate import WrongAggregate


class WithinTolerance(WrongAggregate):
    """The budget that the tolerance of verification 2 leaves to an owner."""

    name = "WITHIN_TOLERANCE"
    radii = 1e-7
