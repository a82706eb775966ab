"""Would admit accomplices of its own making, and nobody that the others can reach."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.messages.bodies import MAX_CANDIDATES, Commit


class NameStrangers(Attacker):
    """All colluders name the same keys, as many as a commitment holds, and keep silent about all others that wait."""

    name = "NAME_STRANGERS"

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        if not self.attacks(step):
            return commit
        keys = (tagged_digest("btard stranger", bytes([number])) for number in range(MAX_CANDIDATES))
        return dataclasses.replace(commit, candidates=tuple(sorted(PeerId.from_public_key(key) for key in keys)))
