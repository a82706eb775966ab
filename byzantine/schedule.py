"""When an attacker attacks, and whether the published lottery catches it."""

from __future__ import annotations

from btard.byzantine.settings import BehaviourSettings
from btard.hashing import tagged_digest


class AttackSchedule:
    """Decides once a step. Every draw depends on seed and step alone, so a restarted peer decides the same again.

    Args:
        settings: start, period, probability and number of attacks, and the probability of being caught.
        seed: the attacker's own, made of run seed and peer id, so that attackers draw independently.
    """

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        self._settings = settings
        self._seed = seed
        self._decided: dict[int, bool] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many steps were attacked so far."""
        return self._count

    def attacks(self, step: int) -> bool:
        """Whether the peer attacks in this step; asked again, the answer is the same."""
        if step not in self._decided:
            since = step - self._settings.attack_start
            self._decided[step] = (
                since >= 0
                and since % self._settings.attack_every == 0
                and self._count < self._settings.max_attacks
                and self._draw("attack", step) < self._settings.attack_proba
            )
            self._count += self._decided[step]
        return self._decided[step]

    def caught(self, step: int) -> bool:
        """Whether the lottery catches the peer after this step: never without CHECK_PROBA or without an attack."""
        probability = self._settings.check_proba
        return probability is not None and self._decided.get(step, False) and self._draw("lottery", step) < probability

    def _draw(self, purpose: str, step: int) -> float:
        """A uniform number in [0, 1)."""
        digest = tagged_digest(f"btard.byzantine.{purpose}", self._seed, step.to_bytes(8, "big"))
        # 53 bits, as many as a double holds: more could round up to 1.0, and what has probability 1 must happen.
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
