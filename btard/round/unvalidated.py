"""Whether validators can be drawn at all, in words for spectators: without them nobody is found out."""

from __future__ import annotations

from itertools import count

from btard.round.draw import most_audits

VOTERS_NEEDED = next(voters for voters in count() if most_audits(voters) > 0)
"""The fewest voters of which a validator is drawn."""


def nobody_is_validated(voters: int, rate: float) -> str | None:
    """Return why no validator is drawn, or None where one is, in this step or in a later one.

    Args:
        voters: members of the roster that are not on probation.
        rate: mean number of validators a step, by the run's manifest.
    """
    if rate <= 0:
        return "nobody is validated: the run is set to 0 validators"
    if voters < VOTERS_NEEDED:
        return f"nobody is validated: {voters} voter{'' if voters == 1 else 's'}, {VOTERS_NEEDED} are needed"
    return None
