"""Publishes an aggregate that is wrong by so little that nobody doubts it, and hides it by its own false product."""

from __future__ import annotations

from btard.byzantine.aggregates.self_cover import SelfCover


class SmallShift(SelfCover):
    """As SELF_COVER, far below what verification 3 looks for: only a witness or a validator of the owner sees it."""

    name = "SMALL_SHIFT"
    radii = 0.01
