"""Lies to newcomers: another run's manifest, no roster, no addresses, and nobody is taken in."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope
from btard.round.messages.bodies import Commit


class FalseDoor(Attacker):
    """Signs the run's manifest as its own, and names no candidates. While it attacks: newcomers ask at any time."""

    name = "FALSE_DOOR"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._lies = False

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._lies = self.attacks(step)
        return dataclasses.replace(commit, candidates=()) if self._lies else commit

    def told_newcomer(self, question: str, answer: bytes | None) -> bytes | None:
        """Sign the manifest as its own, and answer nothing else."""
        if not self._lies or answer is None:
            return answer
        if question != "manifest":
            return None
        true = Envelope.parse(answer)
        return Envelope.sign(self.key, run=true.run, step=true.step, kind=true.kind, body=true.body).encode()
