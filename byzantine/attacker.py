"""The base of behaviours that follow the published attack schedule."""

from __future__ import annotations

from btard.behaviour import Behaviour, LeaveReason
from byzantine.schedule import AttackSchedule
from byzantine.settings import BehaviourSettings


class Attacker(Behaviour):
    """Honest until the schedule says otherwise; a subclass overrides what goes wrong while `attacks(step)`.

    Args:
        settings: the schedule's, and whatever the subclass needs.
        seed: of this attacker's own draws.
    """

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        self.schedule = AttackSchedule(settings, seed)

    def attacks(self, step: int) -> bool:
        return self.schedule.attacks(step)

    def leaves(self, step: int) -> LeaveReason | None:
        return LeaveReason.LOTTERY if self.schedule.caught(step) else None
