"""What accuses, what convicts, what acquits: one table of limits for every offence that a number decides.

Each offence has one measuring function, which accuser, judge and offline verifier share, and three limits of what it
measures, the *excess*: how many times its tolerance a number is off.

```
 0 ...... acquit ...... convict ...... accuse ......
 innocent        unsure         guilty
                                nobody accuses  accuses
```

An honest peer stays below `acquit` by everybody's measurement, whatever earlier checks let all others get away with.
Honest machines measure the same bytes with a smaller difference than any two limits lie apart. So no judge convicts an
honest peer; if one honest peer accuses, all judges convict; and what one judge convicts of, no other acquits of, nor
the offline verifier, which calls proven whatever is not innocent. docs/protocol.md (Thresholds) derives each line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits of an excess.

    Attributes:
        acquit: below it, a judge finds the accused innocent, so that a majority bans the accuser, and the offline
            verifier finds nothing proven.
        convict: above it, a judge finds the accused guilty.
        accuse: above it, an honest peer accuses.
    """

    acquit: float
    convict: float
    accuse: float

    def __post_init__(self) -> None:
        if not 0 < self.acquit < self.convict < self.accuse:
            raise ValueError(f"0 < acquit < convict < accuse must hold, not {self}")

    def acquits(self, excess: float) -> bool:
        """Whether the accused is innocent."""
        return excess < self.acquit

    def convicts(self, excess: float) -> bool:
        """Whether the accused is guilty; of what is no number, too."""
        return not excess <= self.convict

    def accuses(self, excess: float) -> bool:
        """Whether an honest peer accuses; of what is no number, too."""
        return not excess <= self.accuse


SCALARS = Thresholds(acquit=0.5, convict=1.0, accuse=2.0)
"""FALSE_SCALARS, and GRADIENT for scalars about a known row; of `scalars_excess`, in which two machines differ by at
most a quarter."""

COVER_UP = 3.0
"""The `scalars_excess` above which the owner of a row is an accomplice: whatever it measured itself was then beyond
SCALARS.accuse, so an honest owner would have accused."""

SUM = Thresholds(acquit=0.8, convict=1.0, accuse=1.25)
"""WRONG_SUM; of `sum_excess`, whose tolerance holds what SCALARS lets all others add up to."""

FIXED_POINT = Thresholds(acquit=0.5, convict=1.0, accuse=2.0)
"""WRONG_AGGREGATE under rules whose result solves an equation; of `aggregate_excess`, in float64 on rows that all hold:
an honest owner is below 1/8 + 2^-10."""

RECOMPUTED = Thresholds(acquit=0.5, convict=1.0, accuse=2.0)
"""WRONG_AGGREGATE under rules that are recomputed; of the same function: an honest owner is at most at a quarter, and
two machines differ by no more."""

LENGTH = Thresholds(acquit=1 + 2.0**-12, convict=1 + 2.0**-11, accuse=1 + 2.0**-10)
"""TOO_LONG; of `length_excess`, in float64: honest senders reach 1, and machines differ by less than 2^-26."""


def gradient(*, accuse: float, convict: float) -> Thresholds:
    """GRADIENT; of the relative `sketch_distance`. The run's rules choose both limits, `btard calibrate` measures
    them: honest gradients differ by a tenth of `accuse` at most."""
    return Thresholds(acquit=convict / 2, convict=convict, accuse=accuse)


def opening(*, accuse: float) -> Thresholds:
    """FALSE_OPENING where machines may differ; of `numbers_excess`: twice the limits of GRADIENT, so that a validator
    that has rightly let its target pass is not convicted for it."""
    return Thresholds(acquit=accuse / 2, convict=accuse, accuse=2 * accuse)
