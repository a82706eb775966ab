"""Token buckets: what somebody may use up at once and in the long run. They read no clock, so that tests need none."""

from __future__ import annotations


class Budget:
    """So many units at once, and so many a second; a user beyond them waits until it has paid.

    Args:
        rate: units a second that come back.
        burst: most units that are there at once; it begins with all of them.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = 0.0
        self._pays_until = 0.0

    def spend(self, now: float, units: float, slower: float = 1.0) -> float:
        """Use up units, more than there are if need be; return for how many seconds nothing may be begun.

        Args:
            now: seconds of a clock that does not run back.
            units: what was used.
            slower: by how much longer than usual a debt takes to be paid off.
        """
        if now < self._pays_until:
            self._pays_until += units / self._rate * slower
            return self._pays_until - now
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate) - units
        self._at = now
        if self._left >= 0:
            return 0.0
        self._pays_until = now - self._left / self._rate * slower
        self._left, self._at = 0.0, self._pays_until
        return self._pays_until - now

    def wait(self, now: float) -> float:
        """Return for how many seconds from now nothing may be begun."""
        return max(0.0, self._pays_until - now)
