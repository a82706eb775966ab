"""The base of behaviours that follow the published attack schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.byzantine.schedule import AttackSchedule
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.round.roster import Roster


class Attacker(Behaviour):
    """Honest until the schedule says otherwise; a subclass overrides what goes wrong while `attacks(step)`.

    Args:
        settings: the schedule's, and whatever the subclass needs.
        seed: of this attacker's own draws.

    Attributes:
        key: the peer's own, once it is attached.
        roster: of the last step that this peer computed in.
    """

    key: IdentityKey
    roster: Roster | None = None

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        self.settings = settings
        self.seed = seed
        self.schedule = AttackSchedule(settings, seed)

    def attach(self, key: IdentityKey) -> None:
        self.key = key

    @property
    def me(self) -> PeerId:
        """The own peer id."""
        return self.key.peer_id

    def attacks(self, step: int) -> bool:
        return self.schedule.attacks(step)

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        self.roster = roster
        return seed

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        return LeaveReason.LOTTERY if self.schedule.caught(step) else None

    def victim(self, step: int, peers: Iterable[PeerId]) -> PeerId:
        """Draw one of these peers, anew in every step; never this one, unless there is no other."""
        others = [peer for peer in peers if peer != self.me] or [self.me]
        return min(others, key=lambda peer: self._digest("victim", step, peer))

    def fools(self, step: int, peer: PeerId) -> bool:
        """Whether this peer is among the half that is told something else in this step."""
        return self._digest("fooled", step, peer)[0] < 128

    def generator(self, step: int) -> torch.Generator:
        """Return torch's generator for the attacker's own draws in a step."""
        return torch.Generator().manual_seed(int.from_bytes(self._digest("noise", step)[:8], "big") >> 1)

    def _digest(self, purpose: str, step: int, *fields: bytes) -> bytes:
        return tagged_digest(f"btard.byzantine.{purpose}", self.seed, step.to_bytes(8, "big"), *fields)
