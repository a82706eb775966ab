"""Sends nothing to one owner, which has to get its part through third peers."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import Payload
from btard.identity import PeerId
from btard.round.messages.bodies import Commit


class WithholdPart(Attacker):
    """Another owner in every step."""

    name = "WITHHOLD_PART"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self.robbed: PeerId | None = None
        self.robbed_of = b""

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self.robbed = self.victim(step, view.owners) if self.attacks(step) else None
        if self.robbed is not None and commit.parts:
            self.robbed_of = commit.parts[view.owners.index(self.robbed)]
        return commit

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if receiver == self.robbed else payload
