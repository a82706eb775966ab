"""Shows what its vector was built on, and what it sent, to about half of those that ask."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.identity import PeerId


class WithholdFromSome(Attacker):
    """A validator that is shown nothing looks like a false accuser to those that are shown everything."""

    name = "WITHHOLD_FROM_SOME"

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        return self._shown(step, asker, base)

    def shown_vector(self, step: int, asker: PeerId, vector: bytes | None) -> bytes | None:
        return self._shown(step, asker, vector)

    def _shown(self, step: int, asker: PeerId, data: bytes | None) -> bytes | None:
        return None if self.attacks(step) and self.fools(step, asker) else data
