"""Submits a gradient in the step in which it should check another peer's."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.round.messages.bodies import Commit


class IdleGradient(Attacker):
    """Commits to as many parts as the others do."""

    name = "IDLE_GRADIENT"

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        if not self.attacks(step) or view.me not in view.targets:
            return commit
        return dataclasses.replace(commit, parts=tuple(digest(owner) for owner in view.owners))
