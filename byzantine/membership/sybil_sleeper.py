"""Behaves while it is on probation, and flips its gradient once it counts."""

from __future__ import annotations

from btard.byzantine.gradients.live.alone import SignFlipping


class SybilSleeper(SignFlipping):
    """A ban under another key costs it the computing of the probation, each time."""

    name = "SYBIL_SLEEPER"

    def attacks(self, step: int) -> bool:
        probation = self.roster is not None and self.roster.step == step and self.me in self.roster.newcomers
        return not probation and super().attacks(step)
