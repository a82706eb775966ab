"""Commits to one part too many."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.round.messages.bodies import Commit


class WrongCommitLength(Attacker):
    """The surplus hash belongs to nothing."""

    name = "WRONG_COMMIT_LENGTH"

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        return dataclasses.replace(commit, parts=(*commit.parts, digest(b""))) if self.attacks(step) else commit
