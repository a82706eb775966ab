"""What the phases of one attempt have come to by measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from btard.identity import PeerId


@dataclass
class Results:
    """Each is written by the phase that its line names, and read by all that follow.

    Attributes:
        randomness: REVEAL: r^t, 32 bytes, once all shares are revealed.
        column: MEASURE: (product, norm) of everyone's row of the own part, as this peer has measured them.
        shared_at: MEASURE: when this peer has given all the numbers of a sum that is off; infinite if there is none.
        aggregate_norms: MEASURE: the norm of each part's aggregate.
        excess: MEASURE and CHECK: how many times its tolerance a part's aggregate is off, by part, where that has
            been looked at; infinite for an aggregate that is not finite.
    """

    randomness: bytes = b""
    shared_at: float = math.inf
    column: dict[PeerId, tuple[float, float]] = field(default_factory=dict)
    aggregate_norms: tuple[float, ...] = ()
    excess: dict[int, float] = field(default_factory=dict)
