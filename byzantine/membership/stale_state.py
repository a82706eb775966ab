"""Announces another training state than the others hold."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.round.messages.bodies import Commit


class StaleState(Attacker):
    """From outside the same as an honest peer that has missed an update, which has to step out and download."""

    name = "STALE_STATE"

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        return dataclasses.replace(commit, parameters=digest(commit.parameters)) if self.attacks(step) else commit
