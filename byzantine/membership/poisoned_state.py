"""Hands newcomers a training state with other numbers in it."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import Payload
from btard.round.messages.bodies import Commit


class PoisonedState(Attacker):
    """A bit in every 4 KiB is flipped. While it attacks: a newcomer asks between two commitments."""

    name = "POISONED_STATE"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._poisons = False

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._poisons = self.attacks(step)
        return commit

    def served_state(self, state: Payload) -> Payload:
        if not self._poisons:
            return state
        poisoned = bytearray(state)
        poisoned[::4096] = bytes(byte ^ 0x40 for byte in poisoned[::4096])
        return bytes(poisoned)
